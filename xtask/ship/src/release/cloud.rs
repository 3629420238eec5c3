//! The guards of the cloud: whose credentials these are, and that the kubeconfig leads to the cluster of EKS that the environment names.
//! Looking is one function; judging is another, and pure.

use super::guards::{Guard, Judged, Look, refusal};
use crate::aws::{Aws, AwsError, EksCluster};
use crate::cluster::Cluster;
use xtask_core::config::Environment;

/// What the cloud says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cloud {
    /// The account of the credentials.
    pub(crate) account: Look<String>,
    /// The cluster of the environment's name; outer none if it names none, inner none if EKS knows none.
    pub(crate) cluster: Option<Look<Option<EksCluster>>>,
    /// Where the kubeconfig leads.
    pub(crate) server: String,
}

/// Asks; none if the environment names nothing of the cloud.
pub(crate) async fn look(env: &Environment, cluster: &Cluster) -> Option<Cloud> {
    if env.account.is_none() && env.region.is_none() {
        return None;
    }
    let server = cluster.server().to_owned();
    let not = |error: AwsError| error.to_string();
    let aws = match Aws::open(env.region.as_deref()).await {
        Ok(aws) => aws,
        Err(error) => {
            let why = not(error);
            let cluster = env.cluster.is_some().then(|| Look::Not(why.clone()));
            return Some(Cloud { account: Look::Not(why), cluster, server });
        }
    };
    let account = aws.account().await.map_or_else(|error| Look::Not(not(error)), Look::Seen);
    let cluster = match &env.cluster {
        Some(name) => Some(aws.cluster(name).await.map_or_else(|error| Look::Not(not(error)), Look::Seen)),
        None => None,
    };
    Some(Cloud { account, cluster, server })
}

/// Judges. On a laptop what could not be seen is said; where nobody reads it (`ci`) it is refused.
pub(crate) fn judge(env: &Environment, cloud: &Cloud, ci: bool, judged: &mut Judged) {
    if let Some(wanted) = &env.account {
        let expected = format!("credentials of the account {wanted}");
        match &cloud.account {
            Look::Not(why) => unseen(Guard::Account, expected, why, ci, judged),
            Look::Seen(found) if found == wanted => {}
            Look::Seen(found) => judged.refusals.push(
                refusal(Guard::Account, expected, format!("those of the account {found}"))
                    .but("are these the credentials of this environment?"),
            ),
        }
    }
    let expected = |name: &str| format!("the EKS cluster {name}");
    match (&env.cluster, &cloud.cluster) {
        (Some(name), Some(Look::Not(why))) => unseen(Guard::Cluster, expected(name), why, ci, judged),
        (Some(name), Some(Look::Seen(None))) => {
            let place = env.region.as_deref().unwrap_or("the region of the credentials");
            judged.refusals.push(refusal(
                Guard::Cluster,
                expected(name),
                format!("none of that name in {place}"),
            ));
        }
        (Some(name), Some(Look::Seen(Some(found)))) => there(env, name, found, &cloud.server, judged),
        (None, _) | (_, None) => {
            let place = env.region.as_deref().unwrap_or("the account");
            judged
                .not_checked
                .push(format!("whether the cluster is in {place}: the environment names no `cluster`"));
        }
    }
}

fn unseen(guard: Guard, expected: String, why: &str, ci: bool, judged: &mut Judged) {
    if ci {
        let remedy = "in CI the cloud must answer: give the job credentials of this environment's account";
        judged.refusals.push(refusal(guard, expected, why).but(remedy));
    } else {
        judged.not_checked.push(format!("{expected}: {why}"));
    }
}

fn there(env: &Environment, name: &str, found: &EksCluster, server: &str, judged: &mut Judged) {
    if let Some(wanted) = env.account.as_ref().filter(|wanted| **wanted != found.account) {
        let expected = format!("the EKS cluster {name} in the account {wanted}");
        judged.refusals.push(refusal(Guard::Account, expected, format!("it in {}", found.account)));
    }
    if let Some(wanted) = env.region.as_ref().filter(|wanted| **wanted != found.region) {
        let expected = format!("the EKS cluster {name} in {wanted}");
        judged.refusals.push(refusal(Guard::Region, expected, format!("it in {}", found.region)));
    }
    if !same_server(&found.endpoint, server) {
        let expected = format!("a kubeconfig that leads to the EKS cluster {name} at {}", found.endpoint);
        let remedy = "is the kubeconfig's context the right one? `aws eks update-kubeconfig` writes one";
        judged.refusals.push(refusal(Guard::Cluster, expected, server).but(remedy));
    }
}

/// Whether two addresses are one: case, a port that goes without saying and a slash at the end do not matter.
fn same_server(one: &str, other: &str) -> bool {
    let plain = |address: &str| {
        let address = address.trim_end_matches('/').to_ascii_lowercase();
        address.strip_suffix(":443").map_or(address.clone(), str::to_owned)
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::guards::tests::env;

    const HERE: &str = "https://ABC.gr7.eu-central-1.eks.amazonaws.com";

    fn named() -> Environment {
        Environment {
            account: Some("111122223333".into()),
            region: Some("eu-central-1".into()),
            cluster: Some("slipway".into()),
            ..env()
        }
    }

    fn eks() -> EksCluster {
        EksCluster {
            account: "111122223333".into(),
            region: "eu-central-1".into(),
            endpoint: HERE.to_owned(),
        }
    }

    fn seen() -> Cloud {
        Cloud {
            account: Look::Seen("111122223333".into()),
            cluster: Some(Look::Seen(Some(eks()))),
            server: HERE.to_owned(),
        }
    }

    fn judged(env: &Environment, cloud: &Cloud, ci: bool) -> Judged {
        let mut judged = Judged::default();
        judge(env, cloud, ci, &mut judged);
        judged
    }

    #[test]
    fn nothing_is_refused_where_account_region_and_server_are_those_of_the_environment() {
        for ci in [false, true] {
            assert_eq!(judged(&named(), &seen(), ci), Judged::default());
        }
    }

    #[test]
    fn each_difference_is_refused_with_what_was_expected_and_what_was_found() {
        type Change = fn(&mut Cloud);
        let table: [(Change, &str); 6] = [
            (
                |c| c.account = Look::Seen("999999999999".into()),
                "account: expected credentials of the account 111122223333, found those of the account 999999999999",
            ),
            (
                |c| c.cluster = Some(Look::Seen(None)),
                "cluster: expected the EKS cluster slipway, found none of that name in eu-central-1",
            ),
            (
                |c| c.cluster = Some(Look::Seen(Some(EksCluster { account: "9".into(), ..eks() }))),
                "account: expected the EKS cluster slipway in the account 111122223333, found it in 9",
            ),
            (
                |c| c.cluster = Some(Look::Seen(Some(EksCluster { region: "us-east-1".into(), ..eks() }))),
                "region: expected the EKS cluster slipway in eu-central-1, found it in us-east-1",
            ),
            (
                |c| c.server = "https://127.0.0.1:6443".into(),
                "cluster: expected a kubeconfig that leads to the EKS cluster slipway at https://ABC",
            ),
            (
                |c| c.server = format!("{HERE}.example.com"),
                "found https://ABC.gr7.eu-central-1.eks.amazonaws.com.example.com",
            ),
        ];
        for (change, expected) in table {
            let mut cloud = seen();
            change(&mut cloud);
            let told: Vec<String> =
                judged(&named(), &cloud, false).refusals.iter().map(ToString::to_string).collect();
            assert!(matches!(&told[..], [one] if one.contains(expected)), "{expected}: {told:?}");
        }
    }

    #[test]
    fn what_was_not_seen_is_said_on_a_laptop_and_refused_in_ci() {
        let not = || Look::Not("no AWS credentials were found".to_owned());
        let blind = Cloud { account: not(), cluster: Some(Look::Not("x".into())), ..seen() };
        let laptop = judged(&named(), &blind, false);
        assert!(laptop.refusals.is_empty());
        assert_eq!(
            laptop.not_checked[0],
            "credentials of the account 111122223333: no AWS credentials were found"
        );
        assert_eq!(laptop.not_checked.len(), 2);
        let ci = judged(&named(), &blind, true);
        assert!(ci.not_checked.is_empty());
        assert_eq!(ci.refusals.len(), 2);
        assert!(ci.refusals[0].to_string().contains("found no AWS credentials were found; in CI"), "{ci:?}");
    }

    #[test]
    fn a_region_without_a_cluster_is_said_to_be_unchecked() {
        let env = Environment { cluster: None, ..named() };
        let cloud = Cloud { cluster: None, ..seen() };
        let found = judged(&env, &cloud, true);
        assert!(found.refusals.is_empty());
        assert_eq!(
            found.not_checked,
            ["whether the cluster is in eu-central-1: the environment names no `cluster`"]
        );
    }

    #[test]
    fn addresses_are_compared_as_addresses_are() {
        for same in ["https://abc.gr7.eu-central-1.eks.amazonaws.com/", &format!("{HERE}:443"), HERE] {
            assert!(same_server(HERE, same), "{same}");
        }
        for other in ["", "http://ABC.gr7.eu-central-1.eks.amazonaws.com", &format!("{HERE}:4430")] {
            assert!(!same_server(HERE, other), "{other}");
        }
    }
}
