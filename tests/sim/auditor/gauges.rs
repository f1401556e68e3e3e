//! Of a gauge's period the newest reading is billed. Here: what the provider may hold of one, by
//! the times of what was told, and that at the end it holds the reading that stands, and bills
//! that. Never here: what a record stands for (see [`super::levels`]). Read next:
//! [`super::totals`].

use std::collections::BTreeMap;

use super::books::is_told;
use super::levels::Share;
use super::totals::DIGITS;
use super::{Auditor, Violation, violated};
use crate::amount::Amount;
use crate::rows::{Balance, Event, Rows};
use crate::server::{Adds, SECOND, Server};

impl Auditor {
    /// Whether a meter bills the newest reading of a period.
    pub(super) fn is_gauge(&self, meter: &str) -> bool {
        self.meters.get(meter) == Some(&Adds::Gauge)
    }

    /// The meter and the account of a balance, where it is a gauge.
    pub(super) fn gauge(&self, balance: i64) -> Option<(&str, &str)> {
        let (meter, account, _) = self.balances.get(&balance)?;
        self.is_gauge(meter).then_some((meter.as_str(), account.as_str()))
    }

    /// What an event of another gauge says of one that was part of it, while that counts as told.
    pub(super) fn said(&self, balance: &Balance, read: &Rows) -> Result<Amount, Violation> {
        let by = |event: &&Event| Some(event.id) == balance.said_by;
        let Some(event) = read.events.iter().find(by) else { return Ok(Amount::ZERO) };
        let place = (event.meter.as_str(), event.account.as_str());
        if event.balance == balance.id || self.gauge(balance.id).is_none_or(|own| own != place) {
            return violated("said-by-its-own", format!("{event:?} says {balance:?}"));
        }
        self.stage.scene().reach("gauge said by another's event");
        let total = event.total.filter(|_| is_told(&event.state));
        Ok(total.unwrap_or(Amount::ZERO))
    }

    /// The time that a balance's next event is for: of a gauge that of the reading that stands, or
    /// of what was told last.
    pub(super) fn told_for(&self, balance: &Balance, read: &Rows) -> i64 {
        if self.gauge(balance.id).is_none() {
            return balance.newest_at;
        }
        let shares = self.shares.get(&balance.id).into_iter().flat_map(BTreeMap::values);
        let stands = shares.filter(|share| share.counts()).map(|share| share.at).max();
        let told = self.told_within(balance, read).into_iter();
        let told = told.filter(|event| !event.is_absent()).map(|event| event.occurred_at);
        stands.max(told.max()).unwrap_or(balance.newest_at)
    }

    /// What was told within a gauge's window, oldest first by its time, whichever balance told it.
    fn told_within<'r>(&self, balance: &Balance, read: &'r Rows) -> Vec<&'r Event> {
        let Some((meter, account)) = self.gauge(balance.id) else { return Vec::new() };
        let within = |event: &&Event| {
            (event.meter.as_str(), event.account.as_str()) == (meter, account)
                && (balance.start..balance.end).contains(&event.occurred_at)
        };
        let mut told: Vec<&Event> = read.events.iter().filter(within).collect();
        told.sort_by_key(|event| (event.occurred_at, event.id));
        told
    }

    /// The provider's newest reading of each gauge is one that may stand: the newest that is
    /// certain, or a newer one that may be there.
    pub(super) fn gauges_are_in_the_bracket(&self, read: &Rows) -> Result<(), Violation> {
        let scene = self.stage.scene();
        if scene.rolled_back {
            return Ok(());
        }
        for balance in &read.balances {
            let Some(place) = self.gauge(balance.id) else { continue };
            let told = self.told_within(balance, read);
            let may_stand = Self::totals_that_may_stand(&told);
            let holds = scene.server.window(place, (balance.start, balance.end));
            if !may_stand.contains(&holds) {
                let what = format!("{place:?}: {holds} is none of {may_stand:?}: {balance:?}");
                return violated("bracket", what);
            }
        }
        Ok(())
    }

    /// What is told of a gauge is told for a later second than whatever was told of it before: only
    /// then it is what counts.
    pub(super) fn gauges_are_told_in_order(&self, read: &Rows) -> Result<(), Violation> {
        if self.stage.scene().rolled_back {
            return Ok(());
        }
        let mut newest: BTreeMap<i64, &Event> = BTreeMap::new();
        for event in read.events.iter().filter(|event| !event.is_absent()) {
            if self.gauge(event.balance).is_none() {
                continue;
            }
            let before = newest.insert(event.balance, event);
            let is_later =
                |before: &Event| before.occurred_at / SECOND < event.occurred_at / SECOND;
            if let Some(before) = before.filter(|before| !is_later(before)) {
                let what = format!("{event:?} is told after {before:?}");
                return violated("later-told-is-newer", what);
            }
        }
        Ok(())
    }

    /// Whether a reading counts in a gauge whose window it is not in.
    fn reads_beside(&self, balance: &Balance) -> bool {
        let beside =
            |share: &Share| share.counts() && !(balance.start..balance.end).contains(&share.at);
        self.shares.get(&balance.id).is_some_and(|shares| shares.values().any(beside))
    }

    /// What the provider is to hold of a gauge, unless something of it is held or in doubt.
    fn reading_due(&self, balance: &Balance, read: &Rows, server: &Server) -> Option<Amount> {
        self.gauge(balance.id)?;
        let in_doubt = |event: &&Event| match event.state.as_str() {
            "held" | "accepted" => true,
            "superseded" | "dead" => event.ambiguous,
            _ => false,
        };
        let told = self.told_within(balance, read);
        if balance.hold.is_some() || told.iter().any(in_doubt) {
            return None;
        }
        let accrued = self.balances[&balance.id].2;
        let due = accrued - accrued.finer_than(server.keeps.decimals());
        (due.digits() <= DIGITS).then_some(due)
    }

    /// At the end: of each gauge the provider's newest reading is the one that stands, and a period
    /// that is one gauge's bills it, where nothing of it came too late.
    pub(super) fn gauges_are_what_was_read(&self, read: &Rows) -> Result<(), Violation> {
        let mut scene = self.stage.scene();
        if scene.rolled_back {
            return Ok(());
        }
        for balance in &read.balances {
            let Some(place) = self.gauge(balance.id) else { continue };
            if self.reads_beside(balance) {
                return violated("gauge-is-of-its-period", format!("{place:?}: {balance:?}"));
            }
            // One that gave its readings to gauges of its periods has no period of its own.
            if self.is_shared(balance, read) {
                continue;
            }
            let Some(due) = self.reading_due(balance, read, &scene.server) else { continue };
            let window = (balance.start, balance.end);
            let holds = scene.server.window(place, window);
            if holds != due {
                let what = format!("{place:?}: {holds} instead of {due}: {balance:?}");
                return violated("gauge-is-what-was-read", what);
            }
            let its = scene
                .server
                .billing
                .invoices
                .iter()
                .find(|invoice| invoice.account == place.1 && invoice.period == window);
            let bills = its
                .filter(|its| !scene.server.received_after(place, window, its.finalizes_at))
                .and_then(|its| its.billed.as_ref()?.get(place.0).copied());
            if bills.is_some_and(|bills| bills != due) {
                let what = format!("{due} of {place:?} is due: {its:?}");
                return violated("bills-its-reading", what);
            }
            let billed = bills.is_some();
            scene.reach("gauge is what was read");
            if billed {
                scene.reach("period bills its reading");
            }
        }
        Ok(())
    }
}
