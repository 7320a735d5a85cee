//! The process: started with an empty profile, watched, and ended with everything that it started.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How often memory is looked at.
const WATCH: Duration = Duration::from_millis(250);

/// What precedes the address in what Chromium says.
const LISTENING: &str = "DevTools listening on ";

/// Switches that take away what a scraper needs not, and what would go past the proxy.
const SWITCHES: &[&str] = &[
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-extensions-with-background-pages",
    "--disable-component-update",
    "--disable-crash-reporter",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--dns-prefetch-disable",
    "--metrics-recording-only",
    "--mute-audio",
    "--password-store=basic",
    "--use-mock-keychain",
    "--js-flags=--max-old-space-size=512",
    "--blink-settings=imagesEnabled=false",
    // Loopback addresses go through the proxy as all others do; names are its matter, and so is UDP, which it does not speak.
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
];

/// A running Chromium. Dropped, it is gone with its whole process group and its profile.
pub(super) struct Chromium {
    /// The process and its profile; both there until the end.
    running: Option<(Child, TempDir)>,
    group: Group,
}

/// The processes of a Chromium.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group(Option<i32>);

impl Chromium {
    /// Starts it behind a proxy.
    pub(super) fn start(program: &Path, proxy: SocketAddr, user_agent: &str) -> io::Result<Self> {
        let profile = tempfile::Builder::new().prefix("vigie-render-").tempdir()?;
        let mut command = Command::new(program);
        command
            .args(SWITCHES)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--proxy-server=http://{proxy}"))
            .arg(format!("--user-agent={user_agent}"));
        // Its own sandbox does not work for root. Then the caps, the guard and the empty profile are all there is: better not to run as root.
        if Uid::effective().is_root() {
            command.arg("--no-sandbox");
        }
        command
            .arg("about:blank")
            // No variable of ours, and no proxy from outside, is for a page to see or to use.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn()?;
        let group = Group(child.id().and_then(|id| i32::try_from(id).ok()));
        Ok(Self { running: Some((child, profile)), group })
    }

    /// Where it can be spoken to, once it says so.
    pub(super) async fn devtools_address(&mut self) -> io::Result<String> {
        let child = self.running.as_mut().map(|(child, _)| child).ok_or_else(|| io::Error::other("it has ended"))?;
        let stderr = child.stderr.take().ok_or_else(|| io::Error::other("it says nothing"))?;
        let mut lines = BufReader::new(stderr).lines();
        let mut last = String::new();
        while let Some(line) = lines.next_line().await? {
            if let Some((_, address)) = line.split_once(LISTENING) {
                let address = address.trim().to_owned();
                // It must never wait for a reader.
                tokio::spawn(async move { while matches!(lines.next_line().await, Ok(Some(_))) {} });
                return Ok(address);
            }
            if !line.trim().is_empty() {
                last = line;
            }
        }
        let status = child.wait().await?;
        Err(io::Error::other(format!("it ended with {status}: {last}")))
    }

    pub(super) fn group(&self) -> Group {
        self.group
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let Some((mut child, profile)) = self.running.take() else { return };
        let group = self.group;
        group.kill();
        // The profile goes when nobody writes to it any more; where there is no runtime left to wait for that, at once.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = child.wait().await;
                for _ in 0..100 {
                    if !group.kill() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                drop(profile);
            });
        }
    }
}

impl Group {
    /// Ends all of its processes; false if there are none.
    fn kill(self) -> bool {
        self.0.is_some_and(|group| killpg(Pid::from_raw(group), Signal::SIGKILL).is_ok())
    }

    /// Ends once the processes hold more than this, in bytes; where the system does not say, never.
    pub(super) async fn exceeds(self, limit: u64) {
        let Some(group) = self.0 else { return std::future::pending().await };
        loop {
            tokio::time::sleep(WATCH).await;
            let held = tokio::task::spawn_blocking(move || memory_of(group)).await.unwrap_or_default();
            if held > limit {
                return;
            }
        }
    }
}

/// Bytes that the processes of a group hold for themselves, by Linux's count.
fn memory_of(group: i32) -> u64 {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
    let is_number = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
    processes
        .flatten()
        .filter(|entry| is_number(&entry.file_name()))
        .map(|entry| entry.path())
        .filter(|path| std::fs::read_to_string(path.join("stat")).is_ok_and(|stat| group_in(&stat) == Some(group)))
        .filter_map(|path| std::fs::read_to_string(path.join("status")).ok())
        .map(|status| own_memory_in(&status))
        .sum()
}

/// The process group in `/proc/PID/stat`; the name before it may hold anything, also brackets.
fn group_in(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

/// The memory that is not shared in `/proc/PID/status`.
fn own_memory_in(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_memory_are_read_from_proc() {
        assert_eq!(group_in("12 (a ) b (c)) S 1 77 77 0 -1"), Some(77));
        assert_eq!(group_in("12"), None);
        assert_eq!(own_memory_in("Name:\tx\nRssAnon:\t    2048 kB\nRssFile:\t 1 kB\n"), 2 << 20);
        assert_eq!(own_memory_in(""), 0);
    }
}
