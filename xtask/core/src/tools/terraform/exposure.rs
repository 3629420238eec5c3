//! What of a plan would be open to the whole world. It looks at every managed resource as it would be afterwards, so that what is
//! open already is seen as well.
//!
//! This is the short list of doors that nobody opens by intent: networks, the cluster's API, databases, buckets. It is not a scanner.
//! A value that is unknown before it is made is not judged, except where AWS's own default is open.

use super::plan::Resource;
use crate::facts::Observation;
use crate::outcome::Severity;
use serde_json::Value;
use std::collections::BTreeSet;

/// The ports that may be open to everyone: those of the web.
const WEB: [i64; 2] = [80, 443];

/// The lists of permissions that hold for everyone, or for everyone with any AWS account.
const PUBLIC_ACLS: [&str; 3] = ["public-read", "public-read-write", "authenticated-read"];

/// The groups that are everyone, and everyone with any AWS account.
const PUBLIC_GROUPS: [&str; 2] = ["/groups/global/AllUsers", "/groups/global/AuthenticatedUsers"];

/// What would be open.
pub(super) fn of(resources: &[Resource]) -> Vec<Observation> {
    let gone: BTreeSet<&str> = resources
        .iter()
        .filter(|resource| resource.kind == "aws_s3_bucket" && resource.change.after.is_null())
        .filter_map(|resource| resource.change.before["bucket"].as_str())
        .collect();
    let mut seen = Vec::new();
    for resource in resources {
        let after = &resource.change.after;
        let observe = |rule: &str, severity, what: String| {
            // The address is part of the rule, so that a waiver opens one door and not all of its kind.
            let rule = format!("{rule}:{}", resource.address);
            Observation::new(rule, severity, format!("{} would {what}", resource.address))
        };
        if after.is_null() {
            let bucket = resource.change.before["bucket"].as_str().unwrap_or_default();
            if resource.kind == "aws_s3_bucket_public_access_block" && !gone.contains(bucket) {
                let what = format!("no longer keep the bucket {bucket} from being made public");
                seen.push(observe("public-bucket", Severity::High, what));
            }
            continue;
        }
        for opening in openings(&resource.kind, after) {
            seen.push(observe("public-ingress", Severity::High, format!("let everyone in: {opening}")));
        }
        if let Some(what) = cluster(&resource.kind, after) {
            seen.push(observe("public-cluster", Severity::High, what.to_owned()));
        }
        // Databases, replication instances, brokers and warehouses all spell it the same.
        if after["publicly_accessible"] == true {
            let what = "have an address that everyone can reach".to_owned();
            seen.push(observe("public-database", Severity::Critical, what));
        }
        if let Some(what) = bucket(&resource.kind, after) {
            seen.push(observe("public-bucket", Severity::High, what));
        }
    }
    seen
}

/// The rules of a security group that let everyone in, by ports other than the web's.
fn openings(kind: &str, after: &Value) -> Vec<String> {
    match kind {
        "aws_security_group" | "aws_default_security_group" => {
            each(&after["ingress"]).filter_map(|rule| opening(rule, "protocol")).collect()
        }
        "aws_security_group_rule" if after["type"] == "ingress" => {
            opening(after, "protocol").into_iter().collect()
        }
        "aws_vpc_security_group_ingress_rule" => opening(after, "ip_protocol").into_iter().collect(),
        _ => Vec::new(),
    }
}

fn opening(rule: &Value, protocol: &str) -> Option<String> {
    let lists = ["cidr_blocks", "ipv6_cidr_blocks"].into_iter().flat_map(|name| each(&rule[name]));
    let single = ["cidr_ipv4", "cidr_ipv6"].into_iter().map(|name| &rule[name]);
    let network = lists.chain(single).filter_map(Value::as_str).find(|network| is_world(network))?;
    let (from, to) = (rule["from_port"].as_i64(), rule["to_port"].as_i64());
    let protocol = rule[protocol].as_str().unwrap_or("-1");
    let ports = match (protocol, from, to) {
        ("-1" | "all", _, _) => "every port of every protocol".to_owned(),
        (_, Some(from), Some(to)) if from == to && WEB.contains(&from) => return None,
        (_, Some(from), Some(to)) if from == to => format!("{protocol} port {from}"),
        (_, Some(from), Some(to)) => format!("{protocol} ports {from} to {to}"),
        _ => format!("every port of {protocol}"),
    };
    Some(format!("{ports} from {network}"))
}

/// Half of the world counts as well: two rules, each with one half, are a known way around checks like this one.
fn is_world(network: &str) -> bool {
    network.split_once('/').is_some_and(|(_, prefix)| matches!(prefix, "0" | "1"))
}

/// A cluster's API is public unless it is told not to be, and then for everyone unless it is told for whom.
fn cluster(kind: &str, after: &Value) -> Option<&'static str> {
    if kind != "aws_eks_cluster" {
        return None;
    }
    let network = &after["vpc_config"][0];
    if network["endpoint_public_access"] == false {
        return None;
    }
    let mut named = each(&network["public_access_cidrs"]).filter_map(Value::as_str).peekable();
    if named.peek().is_none() {
        return Some("have a public API, and no list of the networks that may reach it");
    }
    named.any(is_world).then_some("have a public API that everyone can reach")
}

fn bucket(kind: &str, after: &Value) -> Option<String> {
    if !matches!(kind, "aws_s3_bucket" | "aws_s3_bucket_acl" | "aws_s3_object") {
        return None;
    }
    if let Some(acl) = after["acl"].as_str().filter(|acl| PUBLIC_ACLS.contains(acl)) {
        return Some(format!("be open by the list of permissions `{acl}`"));
    }
    let policies = each(&after["access_control_policy"]).flat_map(|policy| each(&policy["grant"]));
    let grantees = policies.flat_map(|grant| each(&grant["grantee"]));
    let mut groups = grantees.chain(each(&after["grant"])).filter_map(|grantee| grantee["uri"].as_str());
    let public = |uri: &&str| PUBLIC_GROUPS.iter().any(|group| uri.ends_with(group));
    groups.find(public).map(|uri| format!("be open by a grant to {uri}"))
}

/// The elements of a list; of anything else, such as a value that is not known yet, none.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::terraform::plan::changes;
    use crate::tools::testdata::recorded;
    use serde_json::json;

    /// What is seen of one resource that would look like this afterwards: the rules, without the address.
    fn rules(kind: &str, after: &Value) -> Vec<String> {
        seen(&[(kind, Value::Null, after.clone())]).into_iter().map(|(rule, _)| rule).collect()
    }

    fn seen(resources: &[(&str, Value, Value)]) -> Vec<(String, String)> {
        let resources: Vec<Resource> = resources
            .iter()
            .map(|(kind, before, after)| {
                let change = json!({"actions": ["update"], "before": before, "after": after});
                let resource = json!({"address": "a.b", "type": kind, "mode": "managed", "change": change});
                serde_json::from_value(resource).unwrap()
            })
            .collect();
        of(&resources)
            .into_iter()
            .map(|one| (one.rule.strip_suffix(":a.b").unwrap().to_owned(), one.message))
            .collect()
    }

    #[test]
    fn a_plan_of_the_real_provider_shows_each_open_door_once_and_leaves_the_web_alone() {
        let exposures = changes(&recorded("terraform/1.11.4/aws-show-mixed.json")).unwrap().exposures;
        let messages: Vec<&str> = exposures.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "aws_eks_cluster.main would have a public API that everyone can reach",
                "aws_s3_bucket_public_access_block.logs would no longer keep the bucket hello-logs-111122223333 \
                 from being made public",
                "aws_vpc_security_group_ingress_rule.ssh would let everyone in: tcp port 22 from ::/0",
            ]
        );
        assert_eq!(exposures[2].rule, "public-ingress:aws_vpc_security_group_ingress_rule.ssh");
    }

    #[test]
    fn only_the_ports_of_the_web_may_be_open_to_everyone() {
        let rule = |from: i64, to: i64, protocol: &str, network: &str| json!({"type": "ingress", "from_port": from, "to_port": to, "protocol": protocol, "cidr_blocks": [network]});
        let table = [
            (rule(443, 443, "tcp", "0.0.0.0/0"), false),
            (rule(80, 80, "tcp", "0.0.0.0/0"), false),
            (rule(443, 443, "udp", "0.0.0.0/0"), false),
            (rule(80, 443, "tcp", "0.0.0.0/0"), true),
            (rule(22, 22, "tcp", "0.0.0.0/0"), true),
            (rule(22, 22, "tcp", "128.0.0.0/1"), true),
            (rule(22, 22, "tcp", "10.0.0.0/8"), false),
            (rule(443, 443, "-1", "0.0.0.0/0"), true),
            (rule(0, 0, "-1", "0.0.0.0/0"), true),
        ];
        for (after, open) in table {
            assert_eq!(!rules("aws_security_group_rule", &after).is_empty(), open, "{after}");
            let group = json!({"ingress": [after]});
            assert_eq!(!rules("aws_security_group", &group).is_empty(), open, "{group}");
        }
        let mut outward = rule(22, 22, "tcp", "0.0.0.0/0");
        outward["type"] = json!("egress");
        assert!(rules("aws_security_group_rule", &outward).is_empty());
        let all = json!({"ip_protocol": "-1", "from_port": null, "to_port": null, "cidr_ipv4": "0.0.0.0/0"});
        assert_eq!(
            seen(&[("aws_vpc_security_group_ingress_rule", Value::Null, all)])[0].1,
            "a.b would let everyone in: every port of every protocol from 0.0.0.0/0"
        );
    }

    #[test]
    fn a_cluster_is_private_or_names_the_networks_that_may_reach_it() {
        let table = [
            (json!({"endpoint_public_access": false}), false),
            (json!({"endpoint_public_access": true, "public_access_cidrs": ["192.0.2.0/24"]}), false),
            (
                json!({"endpoint_public_access": true, "public_access_cidrs": ["192.0.2.0/24", "0.0.0.0/0"]}),
                true,
            ),
            (json!({"endpoint_public_access": true, "public_access_cidrs": []}), true),
            (json!({"endpoint_public_access": true}), true),
            (json!({"endpoint_public_access": null, "public_access_cidrs": null}), true),
        ];
        for (network, open) in table {
            let after = json!({"vpc_config": [network]});
            assert_eq!(!rules("aws_eks_cluster", &after).is_empty(), open, "{after}");
        }
    }

    #[test]
    fn whatever_says_that_it_is_publicly_accessible_is_seen() {
        for kind in ["aws_db_instance", "aws_rds_cluster_instance", "aws_mq_broker"] {
            assert_eq!(rules(kind, &json!({"publicly_accessible": true})), ["public-database"]);
            assert!(rules(kind, &json!({"publicly_accessible": false})).is_empty());
            assert!(rules(kind, &json!({"publicly_accessible": null})).is_empty());
        }
    }

    #[test]
    fn a_bucket_is_public_by_its_list_or_by_a_grant() {
        assert_eq!(rules("aws_s3_bucket_acl", &json!({"acl": "public-read"})), ["public-bucket"]);
        assert!(rules("aws_s3_bucket_acl", &json!({"acl": "private"})).is_empty());
        let uri = "http://acs.amazonaws.com/groups/global/AllUsers";
        let grant = json!([{"grantee": [{"type": "Group", "uri": uri}], "permission": "READ"}]);
        let after = json!({"acl": null, "access_control_policy": [{"grant": grant}]});
        assert_eq!(rules("aws_s3_bucket_acl", &after), ["public-bucket"]);
        assert_eq!(rules("aws_s3_bucket", &json!({"grant": [{"uri": uri}]})), ["public-bucket"]);
        assert!(rules("aws_s3_bucket", &json!({"grant": [{"uri": ""}]})).is_empty());
    }

    #[test]
    fn a_bucket_that_goes_may_lose_its_guard() {
        let guard = ("aws_s3_bucket_public_access_block", json!({"bucket": "logs"}), Value::Null);
        let bucket = ("aws_s3_bucket", json!({"bucket": "logs"}), Value::Null);
        assert_eq!(seen(std::slice::from_ref(&guard))[0].0, "public-bucket");
        assert!(seen(&[guard, bucket]).is_empty());
    }

    #[test]
    fn what_is_not_known_before_it_is_made_is_not_judged() {
        let after = json!({"type": "ingress", "from_port": 22, "to_port": 22, "protocol": "tcp"});
        assert!(rules("aws_security_group_rule", &after).is_empty());
        assert!(rules("aws_subnet", &json!({})).is_empty());
    }
}
