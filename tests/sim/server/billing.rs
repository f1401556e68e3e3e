//! What the provider bills, by a reading of its own: subscriptions, their periods, drafts that
//! become final, and what is announced of all that. Never here: how the program learns of it (see
//! [`crate::billing`]). Read next: [`super::totals`].

use std::collections::{BTreeMap, BTreeSet};

use super::{HOUR, Keeps, MINUTE, SECOND, Server};
use crate::amount::Amount;
use crate::chance::Chance;

/// How long after the end of a period its draft is made, at the most.
const DRAFT_LAG: i64 = 20 * MINUTE;
/// How long a draft takes usage, at the least and at the most.
const GRACE: (i64, i64) = (HOUR, 90 * MINUTE);
/// How long after its date a site says that an invoice takes usage.
const CLOSES_AFTER: i64 = HOUR;
/// How long the list of announcements lags behind, at the most.
const LIST_LAG: i64 = MINUTE;
/// How long after a rejection it is reported, at the most.
const REPORT_LAG: i64 = 10 * MINUTE;

/// What happens and is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Subscribed,
    EndSet,
    Renewed,
    Ended,
    Reactivated,
    Paused,
    Resumed,
    Drafted,
    Finalized,
}

/// A subscription.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) meters: Vec<String>,
    pub(crate) began_at: i64,
    /// How long a period of it lasts.
    length: i64,
    /// The period that is open, or was last.
    pub(crate) period: (i64, i64),
    /// When it is to end by itself.
    pub(crate) ends_at: Option<i64>,
    pub(crate) ended_at: Option<i64>,
    /// Since when it is paused.
    pub(crate) paused_at: Option<i64>,
    /// When it last changed.
    pub(crate) changed_at: i64,
    /// Times that are over in which usage was on no bill.
    idle: Vec<(i64, i64)>,
}

impl Subscription {
    /// Whether usage of `at` is on no bill.
    fn is_idle(&self, at: i64) -> bool {
        let since = [self.paused_at, self.ended_at].into_iter().flatten().min();
        since.is_some_and(|since| since <= at)
            || self.idle.iter().any(|(start, end)| (*start..*end).contains(&at))
    }

    /// When something happens to it by itself.
    fn turns_at(&self) -> Option<i64> {
        let next = self.ends_at.map_or(self.period.1, |ends| ends.min(self.period.1));
        self.ended_at.is_none().then_some(next)
    }
}

/// An invoice, of one period.
#[derive(Clone, Debug)]
pub(crate) struct Invoice {
    pub(crate) id: String,
    /// What it was called before it became final, where that was something else.
    pub(crate) formerly: Option<String>,
    pub(crate) subscription: String,
    pub(crate) account: String,
    pub(crate) meters: Vec<String>,
    pub(crate) period: (i64, i64),
    /// When its draft is made; nobody sees it before.
    pub(crate) created_at: i64,
    pub(crate) finalizes_at: i64,
    /// Until when it is said to take usage, which is no later.
    pub(crate) promised_until: i64,
    /// What it bills, by meter, once it is final.
    pub(crate) billed: Option<BTreeMap<String, Amount>>,
    /// Whether it was made at once, without a time in which it takes usage.
    pub(crate) abrupt: bool,
}

impl Invoice {
    /// Whether there is nothing on it.
    pub(crate) fn bills_nothing(&self) -> bool {
        let mut amounts = self.billed.iter().flat_map(BTreeMap::values);
        amounts.all(|amount| *amount == Amount::ZERO)
    }
}

/// A report of an event that came to nothing after a yes.
#[derive(Clone, Debug)]
pub(crate) struct Rejection {
    pub(crate) announcement: String,
    pub(crate) meter: String,
    pub(crate) at: i64,
    /// The event, where the report names it.
    pub(crate) identifier: Option<String>,
}

/// Something that the provider announces.
#[derive(Clone, Debug)]
pub(crate) struct Announcement {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    /// What kind of object it is about, and which.
    pub(crate) about: Option<(&'static str, String)>,
    pub(crate) at: i64,
    /// From when on the list has it.
    pub(crate) listed_at: i64,
}

/// All that.
#[derive(Debug)]
pub(crate) struct Billing {
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) invoices: Vec<Invoice>,
    pub(crate) rejections: Vec<Rejection>,
    pub(crate) announcements: Vec<Announcement>,
    /// Every bound that a period of an account has, had or was to have.
    pub(crate) bounds: BTreeMap<String, BTreeSet<i64>>,
    /// Whether anything is billed and announced at all in this run.
    pub(crate) on: bool,
    keeps: Keeps,
    /// Whether an invoice gets another id when it becomes final.
    renames: bool,
    chance: Chance,
}

impl Billing {
    pub(crate) fn new(mut chance: Chance, keeps: Keeps, on: bool) -> Self {
        let renames = keeps == Keeps::Entries && chance.one_in(2);
        Self {
            subscriptions: Vec::new(),
            invoices: Vec::new(),
            rejections: Vec::new(),
            announcements: Vec::new(),
            bounds: BTreeMap::new(),
            on,
            keeps,
            renames,
            chance,
        }
    }

    fn bound(&mut self, account: &str, at: i64) {
        self.bounds.entry(account.to_owned()).or_default().insert(at);
    }

    fn announce(&mut self, what: Happened, about: (&'static str, String), at: i64) {
        self.announce_as(self.keeps.announces(what), Some(about), at);
    }

    fn announce_as(&mut self, kind: &'static str, about: Option<(&'static str, String)>, at: i64) {
        let id = format!("evt_{}", self.announcements.len() + 1);
        let at = at / SECOND * SECOND;
        let listed_at = at + self.chance.between(0, LIST_LAG);
        self.announcements.push(Announcement { id, kind, about, at, listed_at });
    }

    fn invoice(&mut self, place: usize, period: (i64, i64), abrupt: bool) {
        let lag = if abrupt { 0 } else { self.chance.between(0, DRAFT_LAG) };
        let grace = if abrupt { 0 } else { self.chance.between(GRACE.0, GRACE.1) };
        let created_at = (period.1 + lag) / SECOND * SECOND;
        let of = &self.subscriptions[place];
        let finalizes_at = (created_at + grace) / SECOND * SECOND;
        let promised_until = match self.keeps {
            Keeps::Events | Keeps::Counts(_) => finalizes_at,
            // An invoice is dated to the end of its term, and takes usage from then on for a while.
            Keeps::Entries => finalizes_at.min(period.1 + CLOSES_AFTER),
        };
        let invoice = Invoice {
            id: format!("in_{}", self.invoices.len() + 1),
            formerly: None,
            subscription: of.id.clone(),
            account: of.account.clone(),
            meters: of.meters.clone(),
            period,
            created_at,
            finalizes_at,
            promised_until,
            billed: None,
            abrupt,
        };
        self.announce(Happened::Drafted, ("invoice", invoice.id.clone()), created_at);
        self.invoices.push(invoice);
    }

    /// The invoice that is or was called `name`.
    pub(crate) fn named(&self, name: &str) -> Option<&Invoice> {
        let is =
            |invoice: &&Invoice| invoice.id == name || invoice.formerly.as_deref() == Some(name);
        self.invoices.iter().find(is)
    }

    /// Whether usage of `account` at `at` is on no bill, as its subscription paused or had ended.
    pub(crate) fn is_idle(&self, account: &str, at: i64) -> bool {
        let of = self.subscriptions.iter().filter(|each| each.account == account);
        self.keeps == Keeps::Entries && of.into_iter().all(|each| each.is_idle(at))
    }

    /// The invoice of the period of `account` that holds `at`, if it was made by `now`.
    pub(crate) fn invoice_of(&self, account: &str, meter: &str, at: i64) -> Option<&Invoice> {
        self.invoices.iter().find(|invoice| {
            invoice.account == account
                && invoice.meters.iter().any(|each| each == meter)
                && (invoice.period.0..invoice.period.1).contains(&at)
        })
    }

    /// Whether a period of some subscription holds `at`, billed or to be billed.
    pub(crate) fn bills(&self, account: &str, meter: &str, at: i64) -> bool {
        let open = self.subscriptions.iter().any(|subscription| {
            subscription.account == account
                && subscription.meters.iter().any(|each| each == meter)
                && subscription.ended_at.is_none()
                && (subscription.period.0..subscription.period.1).contains(&at)
        });
        open || self.invoice_of(account, meter, at).is_some()
    }
}

impl Server {
    /// A customer subscribes; answers the subscription's name.
    pub(crate) fn subscribe(&mut self, account: &str, meters: &[&str], length: i64) -> String {
        let began_at = self.now / SECOND * SECOND;
        let length = length / SECOND * SECOND;
        let id = match self.keeps {
            Keeps::Events | Keeps::Counts(_) => {
                format!("sub_{}", self.billing.subscriptions.len() + 1)
            }
            // An account is a subscription.
            Keeps::Entries => account.to_owned(),
        };
        let period = (began_at, began_at + length);
        self.billing.bound(account, period.0);
        self.billing.bound(account, period.1);
        self.billing.subscriptions.push(Subscription {
            id: id.clone(),
            account: account.to_owned(),
            meters: meters.iter().map(|meter| (*meter).to_owned()).collect(),
            began_at,
            length,
            period,
            ends_at: None,
            ended_at: None,
            paused_at: None,
            changed_at: began_at,
            idle: Vec::new(),
        });
        self.billing.announce(Happened::Subscribed, ("subscription", id.clone()), began_at);
        self.rule("subscribed");
        id
    }

    /// A subscription is to end at `at`, or with its period where that is sooner.
    pub(crate) fn end_later(&mut self, place: usize, at: i64) {
        let now = self.now;
        let subscription = &mut self.billing.subscriptions[place];
        let at = (at / SECOND * SECOND).min(subscription.period.1);
        if subscription.ended_at.is_some() || at <= now {
            return;
        }
        subscription.ends_at = Some(at);
        let account = subscription.account.clone();
        self.billing.bound(&account, at);
        self.changes(place, Happened::EndSet, now);
        self.rule("end was set");
    }

    /// A subscription ends at once, and what was used of its period is billed at once or never.
    pub(crate) fn end_now(&mut self, place: usize, billed: bool) {
        let now = self.now / SECOND * SECOND;
        let subscription = &mut self.billing.subscriptions[place];
        if subscription.ended_at.is_some() || now <= subscription.period.0 {
            return;
        }
        subscription.ended_at = Some(now);
        let account = subscription.account.clone();
        let period = (subscription.period.0, now);
        self.billing.bound(&account, now);
        self.changes(place, Happened::Ended, now);
        if billed {
            self.billing.invoice(place, period, true);
            self.finalize(self.billing.invoices.len() - 1);
            self.rule("ended and billed at once");
        } else if self.keeps == Keeps::Entries {
            self.billing.invoice(place, period, false);
            self.rule("ended with a draft");
        } else {
            self.rule("ended and not billed");
        }
    }

    /// A subscription changes, and it is announced.
    fn changes(&mut self, place: usize, what: Happened, at: i64) {
        let subscription = &mut self.billing.subscriptions[place];
        subscription.changed_at = at / SECOND * SECOND;
        let (account, id) = (subscription.account.clone(), subscription.id.clone());
        if self.keeps == Keeps::Entries {
            // Whoever sees only then that it bills again takes it to have idled until then.
            self.billing.bound(&account, at / SECOND * SECOND);
        }
        self.billing.announce(what, ("subscription", id), at);
    }

    /// A subscription pauses, or goes on after a pause: its term does so meanwhile.
    pub(crate) fn pause_or_resume(&mut self, place: usize) {
        let now = self.now / SECOND * SECOND;
        let subscription = &mut self.billing.subscriptions[place];
        if subscription.ended_at.is_some() {
            return;
        }
        match subscription.paused_at.take() {
            Some(since) => {
                subscription.idle.push((since, now));
                self.changes(place, Happened::Resumed, now);
                self.rule("resumed");
            }
            None if now > subscription.changed_at => {
                subscription.paused_at = Some(now);
                self.changes(place, Happened::Paused, now);
                self.rule("paused");
            }
            None => {}
        }
    }

    /// A subscription that ended begins anew, with a term from now on.
    pub(crate) fn reactivate(&mut self, place: usize, length: i64) {
        let now = self.now / SECOND * SECOND;
        let length = length / SECOND * SECOND;
        let subscription = &mut self.billing.subscriptions[place];
        let Some(ended) = subscription.ended_at.filter(|ended| *ended < now) else { return };
        let since = subscription.paused_at.take().map_or(ended, |paused| paused.min(ended));
        subscription.idle.push((since, now));
        (subscription.ended_at, subscription.ends_at) = (None, None);
        (subscription.length, subscription.period) = (length, (now, now + length));
        let account = subscription.account.clone();
        self.billing.bound(&account, now + length);
        self.changes(place, Happened::Reactivated, now);
        self.rule("reactivated");
    }

    /// The earliest of what happens by itself by `to`.
    pub(super) fn next_turn(&self, to: i64) -> Option<i64> {
        let periods = self.billing.subscriptions.iter().filter_map(Subscription::turns_at);
        let drafts = self.billing.invoices.iter().filter(|invoice| invoice.billed.is_none());
        periods.chain(drafts.map(|draft| draft.finalizes_at)).filter(|at| *at <= to).min()
    }

    /// What happens by itself at `now`.
    pub(super) fn turn(&mut self) {
        let now = self.now;
        for place in 0..self.billing.subscriptions.len() {
            let subscription = &mut self.billing.subscriptions[place];
            if subscription.turns_at().is_none_or(|at| at > now) {
                continue;
            }
            let ends = subscription.ends_at.is_some_and(|at| at <= now);
            let (start, end) = subscription.period;
            let account = subscription.account.clone();
            let what = if ends {
                let end = subscription.ends_at.unwrap_or(end);
                subscription.ended_at = Some(end);
                self.billing.invoice(place, (start, end), false);
                self.rule("ended with a draft");
                Happened::Ended
            } else {
                subscription.period = (end, end + subscription.length);
                let bound = subscription.period.1;
                self.billing.bound(&account, bound);
                self.billing.invoice(place, (start, end), false);
                self.rule("period turned over");
                Happened::Renewed
            };
            self.changes(place, what, now);
        }
        for place in 0..self.billing.invoices.len() {
            let invoice = &self.billing.invoices[place];
            if invoice.billed.is_none() && invoice.finalizes_at <= now {
                self.finalize(place);
            }
        }
    }

    /// An invoice becomes final: it bills what counts now, and what comes later nobody bills.
    fn finalize(&mut self, place: usize) {
        let invoice = self.billing.invoices[place].clone();
        let billed = invoice.meters.iter().map(|meter| {
            let total = self.bills((meter, &invoice.account), invoice.period);
            (meter.clone(), total)
        });
        let billed: BTreeMap<String, Amount> = billed.collect();
        let renames = self.billing.renames;
        let its = &mut self.billing.invoices[place];
        its.billed = Some(billed);
        if renames {
            let number = invoice.id.trim_start_matches("in_").to_owned();
            its.formerly = Some(std::mem::replace(&mut its.id, number));
        }
        let id = its.id.clone();
        self.billing.announce(Happened::Finalized, ("invoice", id), self.now);
        self.rule("invoice became final");
    }

    /// What was said yes to will come to nothing at `at`, and a report will say so.
    pub(super) fn will_report(&mut self, meter: &str, identifier: &str, at: i64) {
        if !self.billing.on {
            return;
        }
        let reported_at = at + self.billing.chance.between(SECOND, REPORT_LAG);
        let named = self.billing.chance.percent(70);
        let kind = "v1.billing.meter.error_report_triggered";
        self.billing.announce_as(kind, None, reported_at);
        let announcement = self.billing.announcements.last().expect("it was just made").id.clone();
        self.billing.rejections.push(Rejection {
            announcement,
            meter: meter.to_owned(),
            at,
            identifier: named.then(|| identifier.to_owned()),
        });
    }
}
