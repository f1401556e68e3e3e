//! The journey with a provider that only counts: it knows no identifier, and nothing is read back.
//! Here: what that journey is, whoever is told. Never here: one provider's words ([`cryptolens`],
//! [`planship`]), what every journey shares ([`super`]). Read next: [`super::report`].
//!
//! What was told and whose answer was lost is held, and is there or not: so the books agree up to
//! what is held, to the unit. Only a person who looks at the provider's own books can say which.
//!
//! [`cryptolens`]: super::cryptolens
//! [`planship`]: super::planship

use std::path::Path;
use std::sync::Arc;

use super::child::{Child, Setup};
use super::report::{Comparison, Told};
use super::telling::Telling;
use super::usage::{Sums, Usage};
use super::{StandIn, say};
use crate::cli::args::demo::Demo;
use crate::clock::{Clock, SystemClock};
use crate::sandbox::statistics::Statistics;
use crate::sandbox::{self, SandboxHandle};

/// Customers whose usage is taken when nobody said how many: each of their sums is a request of its
/// own, and the journey takes less than a minute.
const CUSTOMERS: usize = 500;

/// Whom the journey is with.
pub(super) struct Counting {
    /// Its name.
    pub(super) name: &'static str,
    /// The secret that the daemon shows it.
    pub(super) key: &'static str,
    /// What its stand-in is.
    pub(super) settings: fn(&Demo) -> sandbox::Settings,
    /// Where that is.
    pub(super) url: fn(&StandIn) -> &str,
    /// What a user would write to try tallyd on it.
    pub(super) tables: fn(&str) -> String,
    /// What it saw.
    pub(super) statistics: fn(&SandboxHandle) -> Statistics,
    /// What it counted.
    pub(super) counted: fn(&SandboxHandle) -> Sums,
    /// The meter behind the name that it counts it by.
    pub(super) meter_of: fn(&str) -> String,
}

impl Counting {
    /// Takes the usage to the stand-in; whether every difference at the end is held and named.
    pub(super) async fn journey(&self, arguments: &Demo, folder: &Path) -> anyhow::Result<bool> {
        let clock = Arc::new(SystemClock);
        let usage = Usage::load(Some(arguments.customers.unwrap_or(CUSTOMERS)))?;
        let usage = usage.shifted_to_end_before(clock.now());
        let events = u64::try_from(usage.sums().len())?;
        say(&format!(
            "usage: {} requests of {} customers to a real web site in May 2015, shifted by {} \
             whole days;\n       {} records, to be told as {events} amounts or more: what a \
             customer used of a meter until it is told",
            usage.requests(),
            usage.customers().len(),
            usage.shift_days(),
            usage.count(),
        ))?;
        let stand_in = StandIn::start((self.settings)(arguments), clock).await?;
        let (name, url, lost) = (self.name, (self.url)(&stand_in), arguments.lost);
        say(&format!("stand-in for {name} at {url}, losing {lost} of 10,000 answers"))?;
        let tables = (self.tables)(url);
        let setup = Setup { tables: &tables, filter: "warn", key: self.key };
        let mut child = Child::start(folder, &setup).await?;
        say(&child.introduction())?;

        let told = || (self.statistics)(&stand_in.handle).meter_events_accepted;
        let kill_after = arguments.kill_after.unwrap_or(events / 2);
        let mut telling = Telling {
            what: "amounts",
            told_so_far: "amounts told",
            events,
            kill_after,
            told: &told,
            killed: false,
        };
        telling.send(&mut child, &usage).await?;
        telling.finish(&mut child, &usage, |_| None).await?;
        let explained = self.conclude(&child, usage.sums(), &stand_in.handle).await?;
        if !telling.killed {
            say("the daemon was not killed: it was done before that many amounts")?;
        }
        stand_in.end().await;
        Ok(explained)
    }

    /// Compares the three books and says what was found.
    async fn conclude(
        &self,
        child: &Child,
        source: Sums,
        handle: &SandboxHandle,
    ) -> anyhow::Result<bool> {
        let statistics = (self.statistics)(handle);
        let lost: u64 = statistics.faults.values().sum();
        let seen = format!(
            "{} amounts recorded, {lost} answers lost, at most {} in a second",
            statistics.meter_events_accepted, statistics.busiest_second,
        );
        let (provider, meter_of) = ((self.counted)(handle), self.meter_of);
        let told = Told { source, provider, meter_of, seen };
        let comparison = Comparison::make(&child.ledger, told).await?;
        say(&comparison.to_string())?;
        Ok(comparison.is_explained())
    }
}
