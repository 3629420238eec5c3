//! What names of Amazon's say: the host of a registry, the ARN of a cluster. Pure.

/// A registry of ECR, by its host: `111122223333.dkr.ecr.eu-central-1.amazonaws.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EcrHost {
    region: String,
}

impl EcrHost {
    /// Whether this host, as it stands in an image's name, is a private registry of ECR. Only Amazon's own domains count: a password of
    /// ECR goes nowhere else.
    pub(crate) fn of(registry: &str) -> Option<EcrHost> {
        let host = registry.strip_suffix(":443").unwrap_or(registry);
        let name = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
        let [account, "dkr", "ecr" | "ecr-fips", region] = name.split('.').collect::<Vec<_>>()[..] else {
            return None;
        };
        (is_account(account) && is_region(region)).then(|| EcrHost { region: region.to_owned() })
    }

    /// Its region.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_region(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Region and account in an ARN: `arn:aws:eks:eu-central-1:111122223333:cluster/hello`.
pub(super) fn place_of(arn: &str) -> Option<(&str, &str)> {
    let ["arn", _, _, region, account, _] = arn.splitn(6, ':').collect::<Vec<_>>()[..] else { return None };
    (is_account(account) && is_region(region)).then_some((region, account))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_of_ecr_is_known_by_its_whole_host_and_nothing_that_looks_like_it_is_one() {
        for (host, region) in [
            ("111122223333.dkr.ecr.eu-central-1.amazonaws.com", "eu-central-1"),
            ("111122223333.dkr.ecr.eu-central-1.amazonaws.com:443", "eu-central-1"),
            ("111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ] {
            assert_eq!(EcrHost::of(host).unwrap().region(), region, "{host}");
        }
        for other in [
            "",
            "127.0.0.1:5000",
            "ghcr.io",
            "public.ecr.aws",
            "dkr.ecr.eu-central-1.amazonaws.com",
            "1111.dkr.ecr.eu-central-1.amazonaws.com",
            "111122223333.dkr.ecr..amazonaws.com",
            "111122223333.dkr.ecr.eu-central-1.amazonaws.com.example.com",
            "111122223333.dkr.ecr.eu-central-1.amazonaws.com:8443",
            "111122223333.dkr.ecr.eu-central-1.example.com",
            "x.111122223333.dkr.ecr.eu-central-1.amazonaws.com",
            "user@111122223333.dkr.ecr.eu-central-1.amazonaws.com:x",
        ] {
            assert_eq!(EcrHost::of(other), None, "{other}");
        }
    }

    #[test]
    fn an_arn_says_region_and_account_or_it_is_none() {
        let arn = "arn:aws:eks:eu-central-1:111122223333:cluster/hello";
        assert_eq!(place_of(arn), Some(("eu-central-1", "111122223333")));
        assert_eq!(place_of("arn:aws-cn:eks:cn-north-1:111122223333:cluster/a:b").unwrap().0, "cn-north-1");
        for length in 0.."arn:aws:eks:eu-central-1:111122223333".len() {
            assert_eq!(place_of(&arn[..length]), None, "{}", &arn[..length]);
        }
        assert_eq!(place_of("arn:aws:iam::111122223333:role/x"), None, "roles have no region");
    }
}
