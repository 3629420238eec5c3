//! Whether this machine can run a lab, and if not, every reason at once.

use super::cgroup;
use super::error::LabError;
use super::host::Host;
use std::fs;

/// Programs of the machine that a lab needs, and who has them.
const PROGRAMS: [(&str, &str); 2] =
    [("runc", "the Debian package runc"), ("nft", "the Debian package nftables")];

/// Fails with every reason why this machine cannot.
pub(super) fn check(host: &Host) -> Result<(), LabError> {
    if std::env::consts::OS != "linux" {
        return Err(LabError::Unfit(vec![format!(
            "it runs {}; a lab is made of Linux namespaces",
            std::env::consts::OS
        )]));
    }
    let mut reasons = Vec::new();
    let capabilities = fs::read_to_string("/proc/self/status").ok().and_then(|status| effective(&status));
    let root = rustix::process::geteuid().is_root();
    if !root {
        reasons.push("this is not root, and only root may make namespaces and control groups".to_owned());
    }
    for (bit, name, why) in
        [(21, "CAP_SYS_ADMIN", "mounts and namespaces"), (12, "CAP_NET_ADMIN", "networks")]
    {
        if root && capabilities.is_some_and(|set| set & (1 << bit) == 0) {
            reasons.push(format!("{name} is missing, which {why} need"));
        }
    }
    for (program, package) in PROGRAMS {
        if host.find(program).is_none() {
            reasons.push(format!("{program} is not on PATH: {package} has it"));
        }
    }
    match cgroup::hierarchies() {
        Ok(hierarchies) if hierarchies.is_empty() => {
            reasons.push("no control groups are mounted below /sys/fs/cgroup".to_owned());
        }
        Ok(_) => {}
        Err(error) => reasons.push(error.to_string()),
    }
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !known.lines().any(|line| line.split_whitespace().last() == Some("overlay")) {
        reasons.push(
            "the kernel has no overlay file system (`modprobe overlay` loads it, if there is one)".to_owned(),
        );
    }
    if reasons.is_empty() { Ok(()) } else { Err(LabError::Unfit(reasons)) }
}

/// The effective capabilities in the text of `/proc/self/status`.
fn effective(status: &str) -> Option<u64> {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(set.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_as_the_kernel_writes_them() {
        assert_eq!(effective("Name:\ta\nCapEff:\t000001fffeffffff\n"), Some(0x01ff_feff_ffff));
        assert_eq!(effective("CapEff:\tx\n"), None);
        assert_eq!(effective(""), None);
    }
}
