//! Of each window a meter keeps one total. Here: which window a record's usage belongs into, what
//! the provider may hold of one, and that at the end it holds what the window's records come to,
//! and bills that once. Never here: meters that add events up. Read next: [`super::books`].

use std::collections::BTreeSet;

use super::{Auditor, Said, Violation, violated};
use crate::amount::Amount;
use crate::rows::{Balance, Event, Line, Rows};
use crate::server::{Adds, Invoice, Keeps, Server};

/// Most digits of a total: what has more cannot be told in parts.
pub(super) const DIGITS: usize = 15;

impl Auditor {
    /// The span of which a meter keeps one total.
    pub(super) fn span_of_totals(&self, meter: &str) -> Option<i64> {
        match self.meters.get(meter)? {
            Adds::Totals(span) => Some(*span),
            Adds::Values
            | Adds::Distinct
            | Adds::Events
            | Adds::Newest
            | Adds::Largest
            | Adds::Gauge => None,
        }
    }

    /// Whether a line's window is the whole one of its record; or where a period ends in that one,
    /// the one beside it on the record's side of the bound.
    pub(super) fn is_whole_window(&self, line: &Line, said: &Said, span: i64) -> bool {
        let own = said.at - said.at.rem_euclid(span);
        if line.end != line.start + span {
            return false;
        }
        if line.start == own {
            return true;
        }
        let scene = self.stage.scene();
        let bounds = scene.server.billing.bounds.get(&line.account);
        let any = |from: i64, to: i64| {
            bounds.is_some_and(|bounds| bounds.range(from..to).next().is_some())
        };
        let beside = (line.start == own - span && any(said.at + 1, own + span))
            || (line.start == own + span && any(own + 1, said.at + 1));
        drop(scene);
        if beside {
            self.stage.scene().reach("window beside a bound");
        }
        beside
    }

    /// The window of a balance, where its meter keeps one total of it.
    pub(super) fn window_of_totals(&self, balance: i64, read: &Rows) -> Option<(i64, i64)> {
        let (meter, ..) = self.balances.get(&balance)?;
        self.span_of_totals(meter)?;
        let balance = read.balances.iter().find(|each| each.id == balance)?;
        Some((balance.start, balance.end))
    }

    /// The last instant of usage that a balance tells. What came from beside a window that stays
    /// whole is told within it.
    pub(super) fn last_of(&self, balance: &Balance) -> i64 {
        let (meter, ..) = &self.balances[&balance.id];
        if self.span_of_totals(meter).is_some() { balance.end - 1 } else { i64::MAX }
    }

    /// Whether the ledger knows of a bound within a window.
    pub(super) fn is_shared(&self, balance: &Balance, read: &Rows) -> bool {
        let (meter, account, _) = &self.balances[&balance.id];
        let within = |at: i64| balance.start < at && at < balance.end;
        let mut periods = read.periods.iter();
        periods.any(|period| {
            (&period.meter, &period.account) == (meter, account)
                && (within(period.start) || within(period.end))
        })
    }

    /// Whether all usage of a window that is shared by two periods has a whole window beside it.
    fn has_homes(&self, balance: &Balance, span: i64, read: &Rows) -> bool {
        let (meter, account, _) = &self.balances[&balance.id];
        let bounds: BTreeSet<i64> = read
            .periods
            .iter()
            .filter(|period| (&period.meter, &period.account) == (meter, account))
            .flat_map(|period| [period.start, period.end])
            .collect();
        let between = |from: i64, to: i64| bounds.range(from..to).count();
        between(balance.start - span + 1, balance.start + 1) == 0
            && between(balance.start + 1, balance.end) == 1
            && between(balance.end, balance.end + span) == 0
    }

    /// Why a window that is held as its meter cannot be told it could be told all the same.
    pub(super) fn why_tellable(&self, balance: &Balance, read: &Rows) -> Option<&'static str> {
        let (meter, _, accrued) = &self.balances[&balance.id];
        let told = *accrued - accrued.finer_than(Keeps::Events.decimals());
        if self.gauge(balance.id).is_some() {
            return (told.digits() <= DIGITS).then_some("one event tells it");
        }
        let Some(span) = self.span_of_totals(meter) else { return Some("it is told changes") };
        // What left for another window, and was written off here all the same, is of none.
        if told.digits() > DIGITS || told < Amount::ZERO {
            return None;
        }
        if !self.is_shared(balance, read) {
            return Some("its window is of one period");
        }
        self.has_homes(balance, span, read).then_some("the windows beside it are whole")
    }

    /// What the provider may hold of a window, by its events in their order: what the last certain
    /// one says, or any later one that may be there.
    pub(super) fn totals_that_may_stand(events: &[&Event]) -> Vec<Amount> {
        let certain = events.iter().rposition(|event| event.is_certain());
        let total = |event: &&Event| event.total.expect("an event of such a meter says a total");
        let base = certain.map_or(Amount::ZERO, |at| total(&events[at]));
        let later = &events[certain.map_or(0, |at| at + 1)..];
        let later = later.iter().filter(|event| !event.is_absent()).map(total);
        std::iter::once(base).chain(later).collect()
    }

    /// What a window is to come to at the provider, unless something of it is held or in doubt.
    fn total_due(&self, balance: &Balance, read: &Rows, server: &Server) -> Option<Amount> {
        let (meter, ..) = self.balances.get(&balance.id)?;
        self.span_of_totals(meter)?;
        let mut of = read.events.iter().filter(|event| event.balance == balance.id);
        let in_doubt = |event: &Event| match event.state.as_str() {
            "held" | "accepted" => true,
            "superseded" | "dead" => event.ambiguous,
            _ => false,
        };
        if balance.hold.is_some() || of.any(in_doubt) {
            return None;
        }
        let accrued = self.balances[&balance.id].2;
        Some(accrued - accrued.finer_than(server.keeps.decimals()))
    }

    /// At the end: of each window the provider's last total is what its records come to, and no
    /// window that is told holds the bound of a period.
    pub(super) fn totals_are_what_was_used(&self, read: &Rows) -> Result<(), Violation> {
        let mut scene = self.stage.scene();
        if scene.rolled_back {
            return Ok(());
        }
        for balance in &read.balances {
            let Some(due) = self.total_due(balance, read, &scene.server) else { continue };
            let (meter, account, _) = &self.balances[&balance.id];
            let window = (balance.start, balance.end);
            let span = balance.end - balance.start;
            let holds = scene.server.window((meter, account), window);
            if holds != due {
                let what = format!("{meter} of {account}: {holds} instead of {due}: {balance:?}");
                return violated("total-is-what-was-used", what);
            }
            scene.reach("total is what was used");
            // What was told before the bound was known stays where it can go nowhere else.
            let shared = self.is_shared(balance, read) && self.has_homes(balance, span, read);
            if due != Amount::ZERO && shared {
                let what =
                    format!("{meter} of {account} is told {due} across a bound: {balance:?}");
                return violated("one-period", what);
            }
        }
        drop(scene);
        self.periods_bill_their_windows(read)
    }

    /// Each period whose usage was all told in time bills its windows, and nothing else.
    fn periods_bill_their_windows(&self, read: &Rows) -> Result<(), Violation> {
        let mut scene = self.stage.scene();
        let mut billed = 0;
        for invoice in &scene.server.billing.invoices {
            let of_totals = |meter: &&String| self.span_of_totals(meter).is_some();
            for meter in invoice.meters.iter().filter(of_totals) {
                let Some(due) = self.period_due(invoice, meter, read, &scene.server) else {
                    continue;
                };
                let bills = invoice.billed.as_ref().and_then(|billed| billed.get(meter)).copied();
                if bills.is_some_and(|bills| bills != due) {
                    let what = format!("{due} of {meter} is due: {invoice:?}");
                    return violated("bills-its-windows", what);
                }
                billed += u64::from(bills.is_some());
            }
        }
        *scene.reached.entry("period bills its windows".to_owned()).or_default() += billed;
        Ok(())
    }

    /// What the windows of an invoice's period come to, if the ledger knows the period, all of them
    /// are told, and nothing came too late to be billed.
    fn period_due(
        &self,
        invoice: &Invoice,
        meter: &str,
        read: &Rows,
        server: &Server,
    ) -> Option<Amount> {
        let place = (meter, invoice.account.as_str());
        let known = read.periods.iter().any(|period| {
            (period.meter.as_str(), period.account.as_str()) == place
                && (period.start, period.end) == invoice.period
        });
        if !known || server.received_after(place, invoice.period, invoice.finalizes_at) {
            return None;
        }
        let within = |balance: &&Balance| {
            self.balances.get(&balance.id).is_some_and(|(meter, account, _)| {
                (meter.as_str(), account.as_str()) == place
                    && balance.start < invoice.period.1
                    && invoice.period.0 < balance.end
            })
        };
        let windows = read.balances.iter().filter(within);
        let whole = |balance: &Balance| {
            invoice.period.0 <= balance.start && balance.end <= invoice.period.1
        };
        // What was told of a window before its bound was known may be billed here or beside it.
        let due = |balance| {
            let due = self.total_due(balance, read, server);
            due.filter(|due| *due == Amount::ZERO || whole(balance))
        };
        windows.map(due).sum()
    }
}
