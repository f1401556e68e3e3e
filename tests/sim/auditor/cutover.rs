//! Usage that another program told. Here: that what is written off as told before is of before,
//! and that nothing else of before stands to be told. Never here: what leaves the program, which
//! the provider watches. Read next: [`crate::cutover`].

use std::collections::BTreeSet;

use super::{Auditor, Said, Violation, violated};
use crate::amount::Amount;
use crate::rows::{Event, Line, Rows};

impl Auditor {
    /// Whether usage of this instant is another program's to tell.
    pub(super) fn is_before(&self, meter: &str, account: &str, at: i64) -> bool {
        self.stage.scene().server.foreign.is_before(meter, account, at)
    }

    /// Whether what an event says is of before, where no total is read.
    pub(super) fn is_of_before(&self, event: &Event) -> bool {
        self.is_before(&event.meter, &event.account, event.occurred_at)
    }

    /// Takes note of what a line adds to usage of before; whether it is written off rightly.
    pub(super) fn take_before(&mut self, line: &Line, said: &Said) -> Result<(), Violation> {
        let is_before = self.is_before(&line.meter, &line.account, said.at);
        if line.by_bill_from && !is_before {
            let what =
                format!("usage of after is written off as told before: {line:?} of {said:?}");
            return violated("told-before-is-of-before", what);
        }
        if line.by_bill_from {
            self.stage.scene().reach("told before");
        }
        if is_before {
            let key = (line.record, line.meter.clone());
            let (sum, balances) = self.before.entry(key).or_default();
            *sum = *sum + line.quantity;
            balances.insert(line.balance);
        }
        Ok(())
    }

    /// At the end: usage of before that the program never told comes to nothing, so that what is
    /// written off is just what the records and their corrections come to.
    pub(super) fn nothing_of_before_stands(&self, read: &Rows) -> Result<(), Violation> {
        let told: BTreeSet<i64> = read.events.iter().map(|event| event.balance).collect();
        let held = read.balances.iter().filter(|balance| balance.hold.is_some());
        let held: BTreeSet<i64> = held.map(|balance| balance.id).collect();
        let (mut count, mut other) = (0, 0);
        for ((record, meter), (sum, balances)) in &self.before {
            if balances.iter().any(|balance| told.contains(balance) || held.contains(balance)) {
                other += 1;
                continue;
            }
            if *sum != Amount::ZERO {
                let what = format!("{sum} of record {record} at {meter} is of before, and stands");
                return violated("nothing-of-before-stands", what);
            }
            count += 1;
        }
        let mut scene = self.stage.scene();
        *scene.reached.entry("record of before".to_owned()).or_default() += count;
        *scene.reached.entry("record of before, told too".to_owned()).or_default() += other;
        Ok(())
    }
}
