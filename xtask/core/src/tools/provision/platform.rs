//! The operating systems and processors that release archives are made for.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An operating system and a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Platform {
    /// Linux on x86-64.
    #[serde(rename = "linux-x86_64")]
    LinuxX86_64,
    /// Linux on 64-bit ARM.
    #[serde(rename = "linux-aarch64")]
    LinuxAarch64,
    /// macOS on x86-64.
    #[serde(rename = "macos-x86_64")]
    MacosX86_64,
    /// macOS on 64-bit ARM.
    #[serde(rename = "macos-aarch64")]
    MacosAarch64,
}

impl Platform {
    /// The platform that this program was built for, if tools are pinned for it.
    pub fn current() -> Option<Platform> {
        match (std::env::consts::OS, std::env::consts::ARCH) {
            ("linux", "x86_64") => Some(Platform::LinuxX86_64),
            ("linux", "aarch64") => Some(Platform::LinuxAarch64),
            ("macos", "x86_64") => Some(Platform::MacosX86_64),
            ("macos", "aarch64") => Some(Platform::MacosAarch64),
            _ => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Platform::LinuxX86_64 => "linux-x86_64",
            Platform::LinuxAarch64 => "linux-aarch64",
            Platform::MacosX86_64 => "macos-x86_64",
            Platform::MacosAarch64 => "macos-aarch64",
        })
    }
}
