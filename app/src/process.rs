//! What the process itself costs, read from `/proc` at each scrape, under the names that Prometheus clients
//! agree on.
//!
//! A figure that cannot be read is left out: a gap in a graph is honest, a zero is not.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Clock ticks per second in `/proc/*/stat`: fixed for user space on every Linux architecture, whatever the
/// kernel runs at.
const TICKS_PER_SECOND: f64 = 100.0;

/// The collector; made once, near the start of the process, because that moment is one of the series.
#[derive(Debug)]
pub struct Process {
    started: f64,
}

impl Process {
    /// Takes now for the start of the process.
    #[must_use]
    pub fn started_now() -> Self {
        Self {
            started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
        gauge(
            &mut encoder,
            "process_start_time",
            "When the process started",
            Some(&Unit::Seconds),
            Some(self.started),
        )?;
        if let Some(seconds) = cpu_seconds(&read("stat")) {
            let total = ConstCounter::new(seconds);
            let help = "Processor time used, in user and in system mode";
            let metric =
                encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), total.metric_type())?;
            total.encode(metric)?;
        }
        let resident = resident_bytes(&read("status"));
        gauge(&mut encoder, "process_resident_memory", "Resident memory", Some(&Unit::Bytes), resident)?;
        gauge(&mut encoder, "process_open_fds", "Open file descriptors", None, open_files())?;
        let limit = open_files_limit(&read("limits"));
        gauge(&mut encoder, "process_max_fds", "File descriptors that may be open", None, limit)
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: Option<f64>,
) -> Result<(), fmt::Error> {
    let Some(value) = value else { return Ok(()) };
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}

/// Fields 14 and 15 of `/proc/self/stat`. The second field is the program's name in parentheses and may hold
/// anything, so fields are counted from its end.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_files() -> Option<f64> {
    // One of them is the directory that is being read.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(open).ok().map(f64::from)
}

/// The soft limit; `unlimited` is no figure.
fn open_files_limit(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_user_and_system_time_whatever_the_program_is_called() {
        let rest = "S 1 42 42 0 -1 4194560 1017 0 0 0 123 77 0 0 20 0 3 0 8843 7192576 1190";
        for name in ["app", "a b", "a) S 1", ""] {
            assert_eq!(cpu_seconds(&format!("42 ({name}) {rest}")), Some(2.0), "{name:?}");
        }
    }

    #[test]
    fn memory_and_limits_are_read_from_their_lines() {
        assert_eq!(resident_bytes("Name:\tapp\nVmPeak:\t   99 kB\nVmRSS:\t    4760 kB\n"), Some(4_874_240.0));
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(open_files_limit(limits), Some(1024.0));
    }

    #[test]
    fn what_is_missing_cut_short_or_unlimited_is_left_out() {
        assert_eq!(cpu_seconds(""), None);
        assert_eq!(cpu_seconds("42 (app) S 1 42 42 0 -1 4194560 1017 0 0 0 123"), None);
        assert_eq!(cpu_seconds("42 (app"), None);
        assert_eq!(resident_bytes("VmRSS:"), None);
        assert_eq!(resident_bytes("VmRSS:\t 4760"), None);
        assert_eq!(open_files_limit("Max open files            unlimited"), None);
        assert_eq!(open_files_limit(""), None);
    }
}
