//! The site, its clock, and the daemon that follows it. Here: a step of time, sending, correcting,
//! when a step is over, and what can be seen of it. Never here: what happens when ([`super`]), or
//! how a daemon runs ([`crate::cli::demo::child`]).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::item_price;
use crate::cli::demo::child::{Child, Level};
use crate::cli::demo::usage::Batch;
use crate::cli::demo::{LOOK_MILLIS, Stall};
use crate::cli::progress::Progress;
use crate::domain::quantity::Quantity;
use crate::domain::record::UsageRecord;
use crate::domain::time::{MICROS_PER_DAY, Timestamp};
use crate::ledger::operator::OperatorLedger;
use crate::sandbox::SandboxHandle;
use crate::sandbox::chargebee::{ChargebeeHandle, Fate, UsageLine};

/// How the stand-in names the requests for what it announces.
const ANNOUNCEMENTS: &str = "GET /events";
/// Looks in a row that must find nothing new before what was announced counts as heard: a second.
const QUIET_LOOKS: u64 = 1_000 / LOOK_MILLIS;
/// By how much time goes on while something waits: a route's `settle`, five minutes by default, and
/// a minute.
const SETTLED_AFTER: Duration = Duration::from_secs(6 * 60);
/// Held items that are looked at: far more than a journey holds.
const HELD_MAX: u32 = 10_000;

/// The world of a journey.
pub(super) struct World {
    sandbox: SandboxHandle,
    /// The site.
    pub(super) site: ChargebeeHandle,
    child: Child,
    progress: Progress,
    windows: u64,
    /// What the clock was moved to last.
    at: Timestamp,
    kill_after: u64,
    /// Whether the daemon was killed.
    pub(super) killed: bool,
    sent: u64,
    corrected: u64,
}

impl World {
    /// The world in which nothing has happened.
    pub(super) fn begin(
        sandbox: SandboxHandle,
        child: Child,
        windows: u64,
        kill_after: u64,
    ) -> Self {
        let progress = Progress::new("entries made", windows);
        let (site, at) = (sandbox.chargebee(), sandbox.now());
        Self {
            sandbox,
            site,
            child,
            progress,
            windows,
            at,
            kill_after,
            killed: false,
            sent: 0,
            corrected: 0,
        }
    }

    /// Says what happened, and when by the site's clock: to the minute of the last move, as what is
    /// told meanwhile takes some real seconds.
    pub(super) fn say(&self, text: &str) -> anyhow::Result<()> {
        let at: String = self.at.to_rfc3339().chars().take("YYYY-MM-DDTHH:MM".len()).collect();
        let text = text.replace('\n', &format!("\n{}", " ".repeat(at.len() + 2)));
        self.progress
            .note(&format!("{}  {text}", at.replace('T', " ")))
            .context("cannot write to standard output")
    }

    /// Moves the clock, and waits until the daemon has asked what the site announced and has acted
    /// on it.
    pub(super) async fn go_to(&mut self, at: Timestamp) -> anyhow::Result<()> {
        let before = self.asked_for_announcements();
        self.sandbox.advance_to(at)?;
        self.at = at;
        self.listen_since(before).await
    }

    /// Waits until the daemon, which was started just now, knows what there is.
    pub(super) async fn listen(&mut self) -> anyhow::Result<()> {
        self.listen_since(0).await
    }

    async fn listen_since(&mut self, before: u64) -> anyhow::Result<()> {
        let (mut quiet, mut last, mut stall) = (0, before, Stall::default());
        while quiet < QUIET_LOOKS {
            tokio::time::sleep(Duration::from_millis(LOOK_MILLIS)).await;
            let asked = self.asked_for_announcements();
            let is_quiet = asked > before && asked == last && self.child.has_heard().await?;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            last = asked;
            stall.note("request came to the site", self.requests())?;
        }
        Ok(())
    }

    fn asked_for_announcements(&self) -> u64 {
        let requests = self.site.statistics().requests;
        requests.get(ANNOUNCEMENTS).map_or(0, |answers| answers.values().sum())
    }

    fn requests(&self) -> u64 {
        self.site.statistics().requests.values().flat_map(|answers| answers.values()).sum()
    }

    /// Sends usage. With `--kill-after 0` the crash comes in the middle of it.
    pub(super) async fn send(&mut self, batches: &[Batch]) -> anyhow::Result<()> {
        for (sent, batch) in batches.iter().enumerate() {
            if self.kill_after == 0 && !self.killed && sent >= batches.len() / 2 {
                self.crash(0).await?;
            }
            self.child.send(batch).await?;
            self.sent += u64::try_from(batch.records)?;
        }
        Ok(())
    }

    /// Waits until all that can be told is told, and the rest is held; perhaps with the crash in
    /// the middle. What was booked just now waits for more of its day first, so time goes on.
    pub(super) async fn tell(&mut self) -> anyhow::Result<()> {
        let level = Level { records: self.sent, corrections: self.corrected };
        let mut stall = Stall::default();
        while !self.child.has_booked(level).await? {
            stall.note("request came to the site", self.requests())?;
            tokio::time::sleep(Duration::from_millis(LOOK_MILLIS)).await;
        }
        self.sandbox.advance(SETTLED_AFTER);
        let (mut quiet, mut last) = (0, 0);
        while !self.child.rests().await? {
            let made = self.site.statistics().usages_created;
            self.show(made);
            if !self.killed && made >= self.kill_after {
                self.crash(made).await?;
            }
            let requests = self.requests();
            quiet = if requests == last { quiet + 1 } else { 0 };
            last = requests;
            if quiet == QUIET_LOOKS {
                self.sandbox.advance(SETTLED_AFTER);
                quiet = 0;
            }
            stall.note("request came to the site", requests)?;
            tokio::time::sleep(Duration::from_millis(LOOK_MILLIS)).await;
        }
        self.show(self.site.statistics().usages_created);
        Ok(())
    }

    /// Shows how far it is. What comes late, in parts or anew is an entry beyond those of the days.
    fn show(&self, made: u64) {
        self.progress.set(made.min(self.windows));
    }

    async fn crash(&mut self, made: u64) -> anyhow::Result<()> {
        let killed = self.child.pid;
        self.child.crash_and_restart().await?;
        self.killed = true;
        let started = self.child.pid;
        self.say(&format!(
            "SIGKILL to the daemon (pid {killed}) after {made} entries; started again (pid \
             {started})"
        ))
    }

    /// Corrects a record and waits until the site has what it should; what became of the entries
    /// of its day, in words.
    pub(super) async fn correct(
        &mut self,
        record: &UsageRecord,
        verb: &str,
        body: &Value,
    ) -> anyhow::Result<String> {
        let before = self.entries(record);
        self.child.correct(record, verb, body).await?;
        self.corrected += 1;
        self.tell().await?;
        let after = self.entries(record);
        let gone = |(before, after): &(&UsageLine, &UsageLine)| {
            before.fate != Fate::Deleted && after.fate == Fate::Deleted
        };
        let deleted = before.iter().zip(&after).filter(gone).map(|(before, _)| before);
        let deleted: Vec<&str> = deleted.map(|usage| usage.quantity.as_str()).collect();
        let made = after.iter().skip(before.len());
        let made: Vec<&str> = made.map(|usage| usage.quantity.as_str()).collect();
        let or_nothing = |quantities: Vec<&str>| match quantities.is_empty() {
            true => "nothing".to_owned(),
            false => quantities.join(" and "),
        };
        let (deleted, made) = (or_nothing(deleted), or_nothing(made));
        Ok(format!("that day's entry of {deleted} is deleted, and {made} entered anew"))
    }

    /// What the site has, or had, of a record's customer, meter and day.
    fn entries(&self, record: &UsageRecord) -> Vec<UsageLine> {
        let day = record.occurred_at.floor_to(MICROS_PER_DAY);
        let price = item_price(record.meter.as_str());
        let mut usages = self.site.usages();
        usages.retain(|usage| {
            let at = Timestamp::from_seconds(usage.usage_date).floor_to(MICROS_PER_DAY);
            usage.subscription == record.customer.as_str() && usage.item_price == price && at == day
        });
        usages
    }

    /// What became, at the site, of a record that was told by itself, in words.
    pub(super) fn stored(&self, record: &UsageRecord) -> anyhow::Result<String> {
        let entries = self.entries(record);
        let of_record = entries.iter().rev().find(|usage| {
            Quantity::parse_unbounded(&usage.quantity).is_ok_and(|it| it == record.quantity)
        });
        match of_record.map(|usage| &usage.fate) {
            Some(Fate::Counts) => {
                Ok("a further entry of its day, on the pending invoice".to_owned())
            }
            Some(fate) => bail!("the late entry is not to be billed: {fate:?}"),
            None => bail!("there is no entry of what came late"),
        }
    }

    /// Waits until the ledger knows the invoice of a record's period, and its final quantity where
    /// it `is_closed`; both, in words, as `tallyd trace` tells them.
    pub(super) async fn invoice_of(
        &mut self,
        record: &UsageRecord,
        is_closed: bool,
    ) -> anyhow::Result<String> {
        let mut stall = Stall::default();
        loop {
            let ledger = self.child.listing().await?;
            let trace = ledger.trace(&record.source, &record.id).await?;
            let bookings = trace.into_iter().flat_map(|trace| trace.bookings);
            let mut invoices = bookings.flat_map(|booking| booking.invoices);
            match invoices.find(|(_, billed)| billed.is_some() == is_closed) {
                Some((invoice, Some(billed))) => {
                    let (customer, meter) = (&record.customer, &record.meter);
                    return Ok(format!("{invoice} of {customer} bills {billed} {meter}"));
                }
                Some((invoice, None)) => return Ok(invoice),
                None => {}
            }
            stall.note("request came to the site", self.requests())?;
            tokio::time::sleep(Duration::from_millis(LOOK_MILLIS)).await;
        }
    }

    /// What is held of a customer's usage, and why, in words.
    pub(super) async fn held(&mut self, customer: &str) -> anyhow::Result<String> {
        let held = self.child.listing().await?.held(HELD_MAX).await?;
        let mut sums: BTreeMap<(String, String), Quantity> = BTreeMap::new();
        for item in held.into_iter().filter(|item| item.account == customer) {
            let sum = sums.entry((super::meter(&item.meter), item.reason));
            let sum = sum.or_insert_with(Quantity::zero);
            *sum = &*sum + &item.quantity;
        }
        let said: Vec<String> = sums
            .into_iter()
            .map(|((meter, reason), sum)| format!("{meter} {sum} ({reason})"))
            .collect();
        if said.is_empty() {
            bail!("nothing of the usage of {customer} is held");
        }
        Ok(said.join(", "))
    }

    /// The daemon stops.
    pub(super) async fn end(mut self) -> anyhow::Result<Child> {
        self.progress.finish();
        self.child.stop().await?;
        Ok(self.child)
    }
}
