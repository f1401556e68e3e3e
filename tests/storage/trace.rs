//! Calls of the kernel, watched and made to fail. Here: the words of `strace`, and its log. Never
//! here: what a failure must lead to. Read next: [`super::world`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::Point;

/// The calls by which the ledger's files are changed, flushed and read.
pub(crate) const CALLS: [&str; 7] =
    ["pwrite64", "write", "fdatasync", "fsync", "ftruncate", "fallocate", "pread64"];
/// How long `strace` may take to write the end of its log, once what it watched is gone.
const LOG_WAIT: Duration = Duration::from_secs(5);

/// What a call fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Failure {
    /// The device failed.
    #[value(name = "EIO")]
    Io,
    /// The disk is full.
    #[value(name = "ENOSPC")]
    NoSpace,
}

impl Failure {
    pub(crate) const ALL: [Self; 2] = [Self::Io, Self::NoSpace];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Io => "EIO",
            Self::NoSpace => "ENOSPC",
        }
    }

    /// Whether a call can fail so.
    pub(crate) fn befalls(self, call: &str) -> bool {
        match self {
            Self::Io => true,
            Self::NoSpace => call != "pread64",
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A watch over the calls that touch some files.
#[derive(Debug)]
pub(crate) struct Tracer {
    log: PathBuf,
    paths: Vec<PathBuf>,
    inject: Option<String>,
}

impl Tracer {
    pub(crate) fn is_installed() -> bool {
        let asked = Command::new("strace").arg("--version").stdout(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    }

    /// Watches the calls to `paths`, and lets one of them fail.
    pub(crate) fn new(log: PathBuf, paths: Vec<PathBuf>, point: Option<&Point>) -> Self {
        let inject = point.map(|point| {
            let Point { call, failure, number } = point;
            format!("inject={call}:error={failure}:when={number}")
        });
        Self { log, paths, inject }
    }

    /// The command that runs `program` under watch, as itself: the watcher is a process beside it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "--quiet=attach,path-resolution", "-o"]).arg(&self.log);
        command.args(["-e", &format!("trace={}", CALLS.join(","))]);
        for path in &self.paths {
            command.arg("-P").arg(path);
        }
        if let Some(inject) = &self.inject {
            command.args(["-e", inject]);
        }
        command.arg("--").arg(program);
        command
    }

    /// Once the program with this number is gone: how many calls of each kind the busiest thread
    /// made, and whether one was made to fail.
    pub(crate) fn read(&self, pid: u32) -> anyhow::Result<(BTreeMap<String, usize>, bool)> {
        let begun = Instant::now();
        let text = loop {
            let text = std::fs::read_to_string(&self.log)?;
            let ends = |line: &str| {
                let (who, what) = line.split_once(' ').unwrap_or_default();
                who == pid.to_string() && what.trim_start().starts_with("+++")
            };
            if text.lines().any(ends) {
                break text;
            }
            anyhow::ensure!(begun.elapsed() < LOG_WAIT, "strace did not finish its log");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut by_thread: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for line in text.lines() {
            let (thread, what) = line.split_once(' ').unwrap_or_default();
            if let Some((call, _)) = what.trim_start().split_once('(')
                && CALLS.contains(&call)
            {
                *by_thread.entry((call, thread)).or_default() += 1;
            }
        }
        let mut calls: BTreeMap<String, usize> = BTreeMap::new();
        for ((call, _), count) in by_thread {
            let most = calls.entry(call.to_owned()).or_default();
            *most = count.max(*most);
        }
        Ok((calls, text.contains("(INJECTED)")))
    }
}
