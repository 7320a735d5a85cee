//! What this process has used, as Linux counts it.

use std::fs;

use anyhow::Context;

/// Linux shows processor time in hundredths of a second to every program, whatever its own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time of all threads, in user and system mode.
///
/// # Errors
/// Where there is no `/proc/self/stat`.
pub fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("/proc/self/stat (this benchmark needs Linux)")?;
    // The second field is the program's name in brackets, which may hold spaces: user and system time are the 12th and 13th after it.
    let (_, fields) = stat.rsplit_once(')').context("/proc/self/stat has no name")?;
    let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    let ticks: f64 = times.sum::<Result<f64, _>>().context("/proc/self/stat")?;
    Ok(ticks / TICKS_PER_SECOND)
}

/// The most memory that the process held at once, in MiB.
///
/// # Errors
/// Where there is no `/proc/self/status`.
pub fn peak_rss_mib() -> anyhow::Result<f64> {
    memory_mib("VmHWM")
}

/// The memory that the process holds now, in MiB.
///
/// # Errors
/// Where there is no `/proc/self/status`.
pub fn rss_mib() -> anyhow::Result<f64> {
    memory_mib("VmRSS")
}

fn memory_mib(field: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("/proc/self/status (this benchmark needs Linux)")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let line = line.with_context(|| format!("/proc/self/status has no {field}"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim_end().parse().with_context(|| field.to_owned())?;
    Ok(kib / 1024.0)
}
