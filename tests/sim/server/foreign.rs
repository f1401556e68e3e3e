//! Another program that told this provider before. Here: from which instants on the program under
//! test tells instead, what the other one told, and that the program tells nothing of before, and
//! nothing at all in shadow. Never here: what the program does of it. Read next:
//! [`crate::cutover`].

use std::collections::BTreeMap;

use super::{Asked, Server, Taken};
use crate::amount::Amount;

/// From which instants on the program tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Takeover {
    /// All usage.
    pub(crate) all: i64,
    /// That of some meters.
    pub(crate) meters: BTreeMap<String, i64>,
    /// That of some accounts, which counts first.
    pub(crate) accounts: BTreeMap<String, i64>,
}

impl Takeover {
    /// From when on the program tells the usage of a meter and an account.
    pub(crate) fn of(&self, meter: &str, account: &str) -> i64 {
        let own = self.accounts.get(account).or_else(|| self.meters.get(meter));
        own.copied().unwrap_or(self.all)
    }
}

/// Who tells the provider.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    /// What the other program told.
    told: Vec<Taken>,
    /// Since which instants of usage the program is to tell; nothing where nobody told before.
    pub(crate) takeover: Option<Takeover>,
    /// Whether the program knows of that, and may tell nothing of before.
    pub(crate) is_known: bool,
    /// Whether the program began without knowing of it.
    pub(crate) came_late: bool,
    /// Whether the program is in shadow.
    pub(crate) in_shadow: bool,
}

impl Foreign {
    /// Whether usage of this instant is the other program's to tell.
    pub(crate) fn is_before(&self, meter: &str, account: &str, at: i64) -> bool {
        self.takeover.as_ref().is_some_and(|takeover| at < takeover.of(meter, account))
    }

    /// What the other program told of a meter and an account within a span. As long as the program
    /// takes itself for the only one, it would rightly find no explanation of that.
    pub(super) fn total(
        &self,
        (meter, account): (&str, &str),
        (from, until): (i64, i64),
    ) -> Amount {
        if self.came_late && !self.is_known {
            return Amount::ZERO;
        }
        let of = self.told.iter().filter(|each| each.meter == meter && each.account == account);
        of.filter(|each| (from..until).contains(&each.at)).map(|each| each.value).sum()
    }
}

impl Server {
    /// The other program tells usage.
    pub(crate) fn foreign_tells(&mut self, meter: &str, account: &str, at: i64, value: Amount) {
        self.rule("told by another program");
        self.foreign.told.push(Taken {
            meter: meter.to_owned(),
            account: account.to_owned(),
            value,
            at,
            received_at: self.now,
            rejected_at: None,
            cancelled_at: None,
            lag: 0,
            order: 0,
        });
    }

    /// That what leaves the program is its own to tell.
    pub(super) fn watch_takeover(&mut self, name: &str, asked: Option<&Asked>) {
        if self.foreign.in_shadow {
            self.wrongs.push(("nothing-in-shadow", format!("{name} left in shadow")));
        }
        let Some(Asked::Usage(usage)) = asked else { return };
        let is_before = self.foreign.is_before(&usage.meter, &usage.account, usage.at);
        if self.foreign.is_known && is_before {
            let what = format!("{name} tells {} of before: {usage:?}", usage.value);
            self.wrongs.push(("nothing-of-before", what));
        }
    }
}
