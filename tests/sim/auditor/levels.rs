//! A level is what its records say. Here: what each record stands for in a balance of which the
//! newest or the largest record counts, or whose distinct values do, by a model of its own, and
//! that the provider has just one entry of a level. Never here: sums. Read next: [`super::books`].

use std::collections::BTreeMap;

use super::{Auditor, Violation, violated};
use crate::amount::Amount;
use crate::rows::{Line, Rows};
use crate::server::Adds;

/// What a record stands for in a balance: with what was written off, and without.
#[derive(Clone, Debug, Default)]
pub(super) struct Share {
    pub(super) at: i64,
    amount: Amount,
    used: Amount,
    /// Whether it says something though that be nothing.
    reads: bool,
    was_used: bool,
}

impl Share {
    /// Whether it says something by now.
    pub(super) fn counts(&self) -> bool {
        self.reads || self.amount != Amount::ZERO
    }
}

impl Auditor {
    /// Whether one record of a meter's windows counts, and which.
    fn level(&self, meter: &str) -> Option<Adds> {
        match self.meters.get(meter) {
            Some(adds @ (Adds::Newest | Adds::Largest | Adds::Gauge | Adds::Distinct)) => {
                Some(*adds)
            }
            Some(Adds::Values | Adds::Events | Adds::Totals(_)) | None => None,
        }
    }

    /// Whether one record of a balance counts, or each value of its records once.
    pub(super) fn is_level(&self, balance: i64) -> bool {
        let meter = self.balances.get(&balance).map(|(meter, ..)| meter);
        meter.is_some_and(|meter| self.level(meter).is_some())
    }

    /// Takes note of what a line makes of its record in a level.
    pub(super) fn take_share(&mut self, line: &Line) {
        if self.level(&line.meter).is_none() {
            return;
        }
        let Some((id, said)) = self.journal.get(&line.record) else { return };
        let cancels = line.cause == "correction"
            && self.step(id, said.quantity, line.cause_id).is_some_and(|(_, to)| to.is_none());
        let at = said.at;
        let share = self.shares.entry(line.balance).or_default().entry(line.record).or_default();
        share.at = at;
        share.amount = share.amount + line.quantity;
        match line.cause.as_str() {
            "record" => (share.reads, share.was_used) = (true, true),
            "correction" if cancels => (share.reads, share.was_used) = (false, false),
            "transfer" => {
                // Of the two lines of a transfer the one that takes is made first.
                let comes = line.cause_id < line.id;
                (share.reads, share.was_used) = (comes, comes);
            }
            "remap_from" => (share.reads, share.was_used) = (false, false),
            "remap_to" => (share.reads, share.was_used) = (true, true),
            "write_off" => share.reads = false,
            "presence" => share.reads = true,
            _ => {}
        }
        if !matches!(line.cause.as_str(), "write_off" | "presence" | "reversal") {
            share.used = share.used + line.quantity;
        }
    }

    /// What the balances of `lines` come to by now, where that is a level.
    pub(super) fn levels_are_folded(&mut self, lines: &[Line]) {
        for line in lines {
            if self.level(&line.meter).is_some() {
                let level = self.level_of(line.balance).unwrap_or_default();
                if let Some(sum) = self.balances.get_mut(&line.balance) {
                    sum.2 = level;
                }
            }
        }
    }

    /// What a level is, of the records that say something.
    pub(super) fn level_of(&self, balance: i64) -> Option<Amount> {
        self.folded(balance, |share| (share.amount, share.reads))
    }

    /// What a level would be if nothing were written off.
    pub(super) fn used_of(&self, balance: i64) -> Option<Amount> {
        self.folded(balance, |share| (share.used, share.was_used))
    }

    fn folded(&self, balance: i64, of: impl Fn(&Share) -> (Amount, bool)) -> Option<Amount> {
        let (meter, ..) = self.balances.get(&balance)?;
        let shares = self.shares.get(&balance)?.iter();
        if self.level(meter)? == Adds::Distinct {
            let mut values: BTreeMap<&str, Amount> = BTreeMap::new();
            for (record, share) in shares {
                let tier = self.journal.get(record).map(|(_, said)| said.tier.as_str());
                let value = values.entry(tier.unwrap_or_default()).or_default();
                *value = (*value).max(of(share).0);
            }
            return Some(values.into_values().sum()).filter(|sum| *sum != Amount::ZERO);
        }
        let mut says = shares
            .map(|(record, share)| ((share.at, *record), of(share)))
            .filter(|(_, (amount, reads))| *reads || *amount != Amount::ZERO);
        match self.level(meter)? {
            Adds::Largest => {
                let most = says.map(|(_, (amount, _))| amount).max();
                most.filter(|most| *most != Amount::ZERO)
            }
            Adds::Newest | Adds::Gauge => {
                let first = says.next()?;
                let newest =
                    says.fold(first, |one, other| if other.0 > one.0 { other } else { one });
                Some(newest.1.0)
            }
            Adds::Values | Adds::Distinct | Adds::Events | Adds::Totals(_) => None,
        }
    }

    /// At the end: of each level whose account has nothing held the provider has one entry, or
    /// none where no record says anything.
    pub(super) fn levels_are_said_once(&self, read: &Rows) -> Result<(), Violation> {
        let mut scene = self.stage.scene();
        if scene.rolled_back {
            return Ok(());
        }
        for balance in &read.balances {
            let of = || read.events.iter().filter(|event| event.balance == balance.id);
            let held = balance.hold.is_some()
                || of().any(|event| event.state == "held" || event.ambiguous);
            // What is told of a gauge stays told: only the newest of it counts.
            let is_gauge = self.gauge(balance.id).is_some();
            if held || is_gauge || !self.shares.contains_key(&balance.id) {
                continue;
            }
            // Values are told as parts of a sum, by as many events as that takes.
            let meter = self.balances.get(&balance.id).map(|(meter, ..)| meter.as_str());
            if meter.and_then(|meter| self.level(meter)) == Some(Adds::Distinct) {
                scene.reach("distinct values said");
                continue;
            }
            let entries = of().filter(|event| event.target.is_none());
            let entries = entries.filter(|event| scene.server.shows(&event.identifier)).count();
            let level = self.level_of(balance.id);
            let nothing = level == Some(Amount::ZERO);
            scene.reach(if nothing { "level of nothing said" } else { "level said" });
            if entries != usize::from(level.is_some()) {
                let what = format!("balance {} is {level:?} in {entries} entries", balance.id);
                return violated("said-once", what);
            }
        }
        Ok(())
    }
}
