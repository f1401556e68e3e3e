//! What every run does and must come to. Here: the lives of the daemon, their records, and the
//! judgement at the end. Never here: how a call is made to fail. Read next: [`super::trace`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::{Value, json};
use tallyd::clock::{Clock, SystemClock};
use tallyd::domain::time::MICROS_PER_SECOND;

use super::Point;
use super::trace::Tracer;
use super::world::{Daemon, Home, LOOK, PATIENCE, Sandbox, Started};

/// The records: name, customer, meter. The n-th has the quantity 2^n, so that a total names those
/// that are in it.
const RECORDS: [(&str, &str, &str); 8] = [
    ("a", "cus_1", "calls"),
    ("b", "cus_1", "bytes"),
    ("c", "cus_2", "calls"),
    ("d", "cus_1", "calls"),
    ("e", "cus_2", "bytes"),
    ("f", "cus_1", "calls"),
    ("g", "cus_2", "calls"),
    ("h", "cus_1", "bytes"),
];
/// Of them, those that an earlier life told, before the one that calls fail in.
const TOLD_BEFORE: usize = 2;
/// And those that were in flight when that life ended.
const SENT_BEFORE: usize = 4;
/// How long ago all usage was, in seconds.
const AGO_SECONDS: i64 = 7_200;
/// How long a maintenance, due every minute, is waited for.
const MAINTENANCE_WAIT: Duration = Duration::from_secs(90);

/// A life of the daemon in which calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Life {
    /// From no ledger to an orderly stop.
    First,
    /// After a crash in mid-send: recovery, new usage, an orderly stop.
    Second,
    /// A checkpoint beside the work, when the maintenance is due.
    Maintained,
}

impl Life {
    pub(crate) const ALL: [Self; 3] = [Self::First, Self::Second, Self::Maintained];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
            Self::Maintained => "maintained",
        }
    }

    const fn maintenance(self) -> &'static str {
        match self {
            Self::First | Self::Second => "0 3 29 2 *",
            Self::Maintained => "* * * * *",
        }
    }

    /// The files whose calls fail, by what follows the ledger's name.
    const fn endings(self) -> &'static [&'static str] {
        match self {
            Self::First | Self::Second => &["", "-wal", "-shm", "-journal", ".lock", ".ballast"],
            // Only a checkpoint writes to the file itself.
            Self::Maintained => &[""],
        }
    }

    /// The first record that this life is sent.
    const fn first_record(self) -> usize {
        match self {
            Self::First | Self::Maintained => 0,
            Self::Second => SENT_BEFORE,
        }
    }
}

impl std::fmt::Display for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Report {
    /// How the daemon that calls failed in ended.
    pub(crate) code: i32,
    /// Whether a call failed.
    pub(crate) met: bool,
    /// How many calls of each kind its busiest thread made.
    pub(crate) calls: BTreeMap<String, usize>,
}

/// A life, and what its folder looks like at its beginning.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) life: Life,
    _folder: tempfile::TempDir,
    before: Home,
    time: String,
}

impl Stage {
    pub(crate) fn prepare(life: Life) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let before = Home { folder: folder.path().to_owned() };
        let time = SystemClock.now().floor_to(MICROS_PER_SECOND).plus_seconds(-AGO_SECONDS);
        let stage = Self { life, _folder: folder, before, time: time.to_rfc3339() };
        match life {
            Life::First | Life::Maintained => {}
            Life::Second => stage.crash()?,
        }
        Ok(stage)
    }

    /// A life that tells some records and crashes while others are in flight.
    fn crash(&self) -> anyhow::Result<()> {
        let sandbox = Sandbox::start()?;
        self.before.configure(&sandbox.url, self.life.maintenance())?;
        let mut daemon = running(self.before.start(None)?)?;
        let mut acknowledged = BTreeSet::new();
        self.send(&mut daemon, 0..TOLD_BEFORE, &mut acknowledged)?;
        anyhow::ensure!(all_told(&mut daemon, TOLD_BEFORE)?, "it ended before the crash");
        let before = sent(&sandbox)?;
        sandbox.hold_answers()?;
        self.send(&mut daemon, TOLD_BEFORE..SENT_BEFORE, &mut acknowledged)?;
        patiently("sending", || Ok((sent(&sandbox)? > before).then_some(())))?;
        daemon.kill();
        Ok(())
    }

    /// The names of the records that a first life is sent.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        RECORDS.iter().take(4).map(|(name, ..)| *name)
    }

    /// A life in which nothing fails, from its beginning to an orderly stop.
    pub(crate) fn fill(&self, home: &Home) -> anyhow::Result<()> {
        let sandbox = Sandbox::start()?;
        home.configure(&sandbox.url, self.life.maintenance())?;
        let mut daemon = running(home.start(None)?)?;
        self.live(home, &mut daemon, &mut BTreeSet::new())?;
        let code = daemon.stop()?;
        anyhow::ensure!(code == 0, "it ended with {code}");
        Ok(())
    }

    /// One run, in which at most one call fails.
    pub(crate) fn run(&self, point: Option<&Point>) -> anyhow::Result<Report> {
        let folder = tempfile::tempdir()?;
        let result = self.run_in(&Home { folder: folder.path().to_owned() }, point);
        result.map_err(|error| error.context(format!("all of it lies in {:?}", folder.keep())))
    }

    fn run_in(&self, home: &Home, point: Option<&Point>) -> anyhow::Result<Report> {
        let sandbox = Sandbox::start()?;
        self.before.copy(&home.folder)?;
        home.configure(&sandbox.url, self.life.maintenance())?;
        let mut paths: Vec<_> = self.life.endings().iter().map(|end| home.ledger(end)).collect();
        // Where a file was made, its folder is flushed.
        paths.push(home.folder.clone());
        let tracer = Tracer::new(home.folder.join("strace"), paths, point);
        let mut acknowledged = BTreeSet::new();
        let (code, pid) = match home.start(Some(&tracer))? {
            Started::Ended { code, pid } => (code, pid),
            Started::Runs(mut daemon) => {
                let pid = daemon.pid;
                self.live(home, &mut daemon, &mut acknowledged)?;
                (daemon.stop().context("at the stop")?, pid)
            }
        };
        let (calls, met) = tracer.read(pid)?;
        if ![0, 74, 75].contains(&code) {
            bail!("it ended with {code}\n{}", home.said());
        }
        let judged = self.judge(home, &sandbox, &acknowledged);
        judged.with_context(|| format!("after it ended with {code}\n{}", home.said()))?;
        Ok(Report { code, met, calls })
    }

    /// The script, until its end or the daemon's.
    fn live(
        &self,
        home: &Home,
        daemon: &mut Daemon,
        acknowledged: &mut BTreeSet<usize>,
    ) -> anyhow::Result<()> {
        let first = self.life.first_record();
        self.send(daemon, first..first + 2, acknowledged)?;
        // One that is there already, one that contradicts it, and one that is no record.
        let again = self.record(first);
        let (mut other, mut none) = (again.clone(), again.clone());
        other["quantity"] = json!("999");
        none["quantity"] = json!("none");
        daemon.post(&json!([again, other, none]).to_string());
        self.send(daemon, first + 2..first + 3, acknowledged)?;
        if !all_told(daemon, first)? {
            return Ok(());
        }
        self.send(daemon, first + 3..first + 4, acknowledged)?;
        all_told(daemon, first)?;
        if self.life == Life::Maintained {
            let begun = Instant::now();
            let said = ["maintained the ledger", "step failed"];
            while begun.elapsed() < MAINTENANCE_WAIT
                && !daemon.is_gone()?
                && !said.iter().any(|text| home.said().contains(text))
            {
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// A start without failures: what was not acknowledged is sent again, and everything must be at
    /// the provider once.
    fn judge(
        &self,
        home: &Home,
        sandbox: &Sandbox,
        acknowledged: &BTreeSet<usize>,
    ) -> anyhow::Result<()> {
        let mut daemon = running(home.start(None)?).context("the restart")?;
        let mut now = acknowledged.clone();
        let first = self.life.first_record();
        for number in (first..first + 4).filter(|number| !acknowledged.contains(number)) {
            self.send(&mut daemon, number..number + 1, &mut now)?;
        }
        anyhow::ensure!(all_told(&mut daemon, first + 4)?, "the restart went away");
        let code = daemon.stop()?;
        anyhow::ensure!(code == 0, "the restart ended with {code}");
        home.verify()?;
        let mut expected: BTreeMap<(String, String), u64> = BTreeMap::new();
        let told_elsewhere = if first == 0 { 0 } else { TOLD_BEFORE };
        for (number, (_, customer, meter)) in
            RECORDS.iter().enumerate().take(first + 4).skip(told_elsewhere)
        {
            *expected.entry(((*meter).to_owned(), (*customer).to_owned())).or_default() +=
                1 << number;
        }
        let books = sandbox.books()?;
        anyhow::ensure!(books == expected, "the books are {books:?}, not {expected:?}");
        Ok(())
    }

    fn record(&self, number: usize) -> Value {
        let (id, customer, meter) = RECORDS[number];
        let quantity = (1_u64 << number).to_string();
        json!({ "id": id, "customer": customer, "meter": meter, "quantity": quantity,
                "time": self.time, "properties": { "note": "of the matrix" } })
    }

    /// Sends records until they are acknowledged or the daemon is gone.
    fn send(
        &self,
        daemon: &mut Daemon,
        numbers: std::ops::Range<usize>,
        acknowledged: &mut BTreeSet<usize>,
    ) -> anyhow::Result<()> {
        let records: Vec<Value> = numbers.clone().map(|number| self.record(number)).collect();
        let body = Value::from(records).to_string();
        patiently("taking usage", || {
            match daemon.post(&body) {
                Some((200, _)) => {
                    acknowledged.extend(numbers.clone());
                    return Ok(Some(()));
                }
                Some((429 | 503, _)) | None => {}
                Some((status, answer)) => bail!("usage was answered {status}: {answer}"),
            }
            Ok(daemon.is_gone()?.then_some(()))
        })
    }
}

/// Waits until at least `records` are booked and nothing waits to be told; answers whether the
/// daemon lives.
fn all_told(daemon: &mut Daemon, records: usize) -> anyhow::Result<bool> {
    patiently("telling all", || {
        if daemon.is_gone()? {
            return Ok(Some(false));
        }
        let Some(status) = daemon.status() else { return Ok(None) };
        let events = status["events"].as_array().cloned().unwrap_or_default();
        let told = status["records"].as_u64() >= u64::try_from(records).ok()
            && status["accrued_to"] == status["records"]
            && status["balances_open"] == 0
            && events.iter().all(|event| event["state"] == "accepted");
        Ok(told.then_some(true))
    })
}

/// Meter events that the sandbox took, answered or not.
fn sent(sandbox: &Sandbox) -> anyhow::Result<u64> {
    let statistics = sandbox.statistics()?;
    let accepted = statistics["meter_events_accepted"].as_u64();
    accepted.with_context(|| format!("no number: {statistics}"))
}

fn running(started: Started) -> anyhow::Result<Daemon> {
    match started {
        Started::Runs(daemon) => Ok(daemon),
        Started::Ended { code, .. } => bail!("it ended at its start, with {code}"),
    }
}

/// Looks until there is an answer.
fn patiently<T>(
    what: &str,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = look()? {
            return Ok(answer);
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "{what}: it has got stuck");
        std::thread::sleep(LOOK);
    }
}
