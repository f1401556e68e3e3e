//! What came in is booked, once. Here: the journal and the bookings against what the sources sent
//! and were answered. Never here: the provider. Read next: [`super::books`].

use tallyd::accrual::route::{AccountRule, Aggregate, Route};

use super::{Auditor, Counts, Said, Violation, violated};
use crate::amount::Amount;
use crate::rows::{Line, Rows};
use crate::server::{DAY, HOUR, MINUTE};
use crate::workload::account_of;

/// Whether `route` takes what was said.
fn takes(route: &Route, said: &Said) -> bool {
    route.meter.as_str() == said.meter
        && route.matches.iter().all(|(name, value)| name == "tier" && *value == said.tier)
}

fn scale(route: &Route) -> Amount {
    Amount::parse(&route.scale.to_string()).expect("a scale is plain text")
}

impl Auditor {
    /// Each record of the journal is one that was sent, and the one that was acknowledged.
    pub(super) fn journal_is_what_was_sent(&mut self, read: &Rows) -> Result<(), Violation> {
        for record in &read.records {
            let tier = if record.properties.contains("\"a\"") { "a" } else { "b" };
            let said = Said {
                customer: record.customer.clone(),
                meter: record.meter.clone(),
                tier: tier.to_owned(),
                quantity: record.quantity,
                at: record.at,
            };
            let known = self.sent.get(&record.id);
            if !known.is_some_and(|known| known.contains(&said)) {
                return violated("no-invention", format!("{} was never sent so", record.id));
            }
            if self.positions.insert(record.id.clone(), record.position).is_some() {
                return violated("booked-once", format!("{} stands there twice", record.id));
            }
            self.seen.record = record.position;
            self.journal.insert(record.position, (record.id.clone(), said));
        }
        for (id, said) in &self.acknowledged {
            let booked = self.positions.get(id).and_then(|position| self.journal.get(position));
            match booked {
                None => return violated("no-loss", format!("{id} was acknowledged and is gone")),
                Some((_, booked)) if booked != said => {
                    return violated("first-stays", format!("{id} was acknowledged as {said:?}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Each booking is what its route makes of its record, at most once for a destination.
    pub(super) fn bookings_are_of_records(&mut self, read: &Rows) -> Result<(), Violation> {
        for (id, name, definition) in &read.versions {
            if self.versions.contains_key(id) {
                continue;
            }
            match self.routes.get(&(name.clone(), definition.clone())) {
                Some(route) => drop(self.versions.insert(*id, route.clone())),
                None => return violated("routes", format!("{name} was never configured so")),
            }
        }
        self.few = self.accounts_with_few_entries(read);
        for line in &read.lines {
            self.seen.line = line.id;
            self.check_line(line)?;
            let said = self.journal[&line.record].1.clone();
            self.take_before(line, &said)?;
            let sum = self.balances.entry(line.balance);
            let sum =
                sum.or_insert_with(|| (line.meter.clone(), line.account.clone(), Amount::ZERO));
            sum.2 = sum.2 + line.quantity;
            self.take_share(line);
            let stands = self.standing.entry((line.record, line.balance)).or_default();
            *stands = *stands + line.quantity;
        }
        self.nothing_is_written_off_twice(&read.lines)?;
        self.levels_are_folded(&read.lines);
        self.passed_records_stand_somewhere(read)
    }

    /// No write-off of a sum has a record stand for less than nothing: what has left it, or was
    /// written off already, is not taken from it once more. What is carried into another period
    /// may be, where its own was billed before the record was cancelled.
    fn nothing_is_written_off_twice(&self, lines: &[Line]) -> Result<(), Violation> {
        let is_meant = |line: &&Line| line.cause == "write_off" && !self.is_level(line.balance);
        for line in lines.iter().filter(is_meant) {
            let stands = self.standing[&(line.record, line.balance)];
            if stands < Amount::ZERO {
                let what = format!("{stands} is left of a record by {line:?}");
                return violated("written-off-once", what);
            }
        }
        Ok(())
    }

    /// What a line's route makes of a record that counts so.
    pub(super) fn contribution(&self, line: &Line, counts: Counts) -> Amount {
        let route = &self.versions[&line.version];
        match (counts, &route.aggregate) {
            (None, _) => Amount::ZERO,
            (Some(amount), Aggregate::Sum | Aggregate::Last | Aggregate::Max) => {
                amount.times(scale(route))
            }
            (Some(_), Aggregate::Count) => Amount::of(1, 0),
            (Some(amount), Aggregate::Unique(_)) if amount == Amount::ZERO => Amount::ZERO,
            (Some(_), Aggregate::Unique(_)) => Amount::of(1, 0),
        }
    }

    fn check_line(&mut self, line: &Line) -> Result<(), Violation> {
        let Some((id, said)) = self.journal.get(&line.record) else {
            return violated("booking", format!("booking {} is of no record", line.id));
        };
        let Some(route) = self.versions.get(&line.version) else {
            return violated("booking", format!("booking {} is by no route", line.id));
        };
        let account = match &route.account {
            AccountRule::Imported | AccountRule::Template(_) => account_of(&said.customer),
            AccountRule::Identity => said.customer.clone(),
        };
        let span = match route.window.as_str() {
            "record" => 1,
            "1m" => MINUTE,
            "1h" => HOUR,
            _ => DAY,
        };
        let right = takes(route, said)
            && line.meter == route.provider_meter.as_str()
            && line.account == account
            && (line.cause == "transfer"
                || self.window_fits(line, said, span)
                || self.follows(line));
        let due = match line.cause.as_str() {
            "record" => Some(self.contribution(line, Some(said.quantity))),
            "correction" => self
                .step(id, said.quantity, line.cause_id)
                .map(|(from, to)| self.contribution(line, to) - self.contribution(line, from)),
            "transfer" if right => {
                let said = said.clone();
                return self.transfer(line, &said, span);
            }
            "remap_from" => Some(Amount::ZERO - self.held_at(line)),
            "remap_to" => {
                let counts = self.standing_at(id, said.quantity, line.corrected_to);
                Some(self.contribution(line, counts))
            }
            // What people write off, and what is taken back of that, is theirs to decide.
            _ => {
                self.stage.scene().reach(format!("line {}", line.cause));
                return if right { Ok(()) } else { self.wrong(id, line, route) };
            }
        };
        if !right || due != Some(line.quantity) {
            return self.wrong(id, line, route);
        }
        if line.cause == "remap_from" {
            self.stage.scene().reach("record remapped");
            let Some(was) = self.booked.remove(&(line.record, line.meter.clone())) else {
                let what = format!("record {} is not at {} to be taken", line.record, line.meter);
                return violated("booked-once", what);
            };
            let (meter, account, _, most) = self.at_most(&was);
            self.once_booked.push((meter, account, line.balance, most));
        }
        if matches!(line.cause.as_str(), "record" | "remap_to") {
            let before = self.booked.insert((line.record, line.meter.clone()), line.clone());
            if before.is_some() {
                let what = format!("record {} is booked twice to {}", line.record, line.meter);
                return violated("booked-once", what);
            }
        }
        let followed = self.followed.entry((line.record, line.balance)).or_default();
        *followed = *followed + line.quantity;
        Ok(())
    }

    /// The most that a record may ever have stood for where a line booked it.
    pub(super) fn at_most(&self, line: &Line) -> (String, String, i64, Amount) {
        let (id, said) = &self.journal[&line.record];
        let most = self.contribution(line, Some(self.most(id, said.quantity)));
        (line.meter.clone(), line.account.clone(), line.balance, most)
    }

    /// What a record stands for at the meter of `line`, in all windows.
    fn held_at(&self, line: &Line) -> Amount {
        let balances = self.followed.range((line.record, 0)..(line.record + 1, 0));
        let of_meter = balances.filter(|((_, balance), _)| {
            self.balances.get(balance).is_some_and(|(meter, ..)| *meter == line.meter)
        });
        of_meter.map(|(_, amount)| *amount).sum()
    }

    /// Whether a line changes what a transfer brought.
    fn follows(&self, line: &Line) -> bool {
        line.cause != "record" && self.followed.contains_key(&(line.record, line.balance))
    }

    fn wrong(&self, id: &str, line: &Line, route: &Route) -> Result<(), Violation> {
        violated("booking", format!("{id} is booked as {line:?} by {route:?}"))
    }

    /// What accrual passed is booked or parked.
    fn passed_records_stand_somewhere(&self, read: &Rows) -> Result<(), Violation> {
        for (position, (id, _)) in self.journal.range(..=read.watermark) {
            let from = (*position, String::new());
            let to = (*position + 1, String::new());
            let booked = self.booked.range(from..to).next().is_some();
            if !booked && !read.parked.iter().any(|(parked, ..)| parked == position) {
                return violated("no-loss", format!("{id} was passed, and stands nowhere"));
            }
        }
        Ok(())
    }

    /// At the end: everything that was acknowledged is booked, or waits for a reason that stays.
    pub(super) fn everything_was_booked(&self, read: &Rows) -> Result<(), Violation> {
        let end = self.journal.keys().next_back().copied().unwrap_or_default();
        if read.watermark != end {
            return violated("liveness", format!("accrual stopped at {}", read.watermark));
        }
        for (position, route, reason) in &read.parked {
            // What is booked to a destination already is not booked there again by another route.
            if reason != "destination_taken" {
                let what = format!("record {position} waits for {route}: {reason}");
                return violated("liveness", what);
            }
        }
        Ok(())
    }
}
