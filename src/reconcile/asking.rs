//! What is to be asked for. PURE. Here: from notices, and from what fell due, to the objects to
//! read again, and what each notice led to; the lists that make up for what no notice brought.
//! Never here: a request. Read next: [`super::explain`].

use std::collections::BTreeSet;

use crate::domain::billing::{Invoice, Subscription};
use crate::domain::closed::closed;
use crate::domain::names::{AccountName, FeedName, InvoiceId, NoticeId, SubscriptionId};
use crate::domain::time::Timestamp;
use crate::ledger::billing::Overdue;
use crate::ledger::notices::{Conclusion, NoticeNumber, WaitingNotice};
use crate::provider::billing::{Announced, BillingReader};

closed! {
    /// A list that is read as a whole from time to time, by the name under which it is kept when
    /// that was.
    Sweep {
        /// All subscriptions.
        Subscriptions = "sweep of subscriptions",
        /// The newer invoices.
        Invoices = "sweep of invoices",
    }
}

/// A list that comes page by page.
#[derive(Clone, Copy, Debug)]
pub enum List<'a> {
    /// All subscriptions, or those of one account.
    Subscriptions(Option<&'a AccountName>),
    /// Invoices that were made since.
    Invoices(Timestamp),
    /// What was announced since.
    Feed(&'a FeedName, Timestamp),
}

impl List<'_> {
    /// Its name, for the log.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Subscriptions(_) => "subscriptions",
            Self::Invoices(_) => "invoices",
            Self::Feed(feed, _) => feed.as_str(),
        }
    }
}

/// The objects to read again.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Subscriptions.
    pub subscriptions: BTreeSet<SubscriptionId>,
    /// Those of them that fell due: their newest invoice is wanted too.
    pub overdue: BTreeSet<SubscriptionId>,
    /// Invoices.
    pub invoices: BTreeSet<InvoiceId>,
    /// Accounts whose subscriptions are all wanted.
    pub accounts: BTreeSet<AccountName>,
    /// Whether the meters are wanted.
    pub meters: bool,
    /// Notices that announce a report.
    pub reports: BTreeSet<NoticeId>,
    /// What each notice is about.
    about: Vec<(NoticeNumber, Announced, String)>,
    /// Notices of what was read since with everything else.
    known: Vec<NoticeNumber>,
}

impl Wanted {
    /// What `notices` and what is overdue ask for: each object once, however often it was named,
    /// and not what happened before `known_to`, when all subscriptions and invoices were read.
    #[must_use]
    pub fn of(
        notices: &[WaitingNotice],
        overdue: Overdue,
        known_to: Timestamp,
        reader: &dyn BillingReader,
    ) -> Self {
        let mut wanted = Self {
            subscriptions: overdue.subscriptions.iter().cloned().collect(),
            overdue: overdue.subscriptions.into_iter().collect(),
            invoices: overdue.invoices.into_iter().collect(),
            ..Self::default()
        };
        for waiting in notices {
            let notice = &waiting.arrival.notice;
            let about = reader.announced(&notice.kind, notice.related.as_ref());
            let is_known = notice.created_at < known_to;
            match &about {
                Announced::Subscription(_) | Announced::Invoice(_) if is_known => {
                    wanted.known.push(waiting.number);
                    continue;
                }
                Announced::Subscription(id) => {
                    wanted.subscriptions.insert(id.clone());
                }
                Announced::Invoice(id) => {
                    wanted.invoices.insert(id.clone());
                }
                Announced::AccountGone(account) => {
                    wanted.accounts.insert(account.clone());
                }
                Announced::Meters => wanted.meters = true,
                Announced::Rejections => {
                    wanted.reports.insert(notice.id.clone());
                }
                Announced::Nothing => {}
            }
            let kind = notice.kind.as_str().to_owned();
            wanted.about.push((waiting.number, about, kind));
        }
        wanted
    }

    /// Whether nothing is to be read, and no notice to be concluded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.about.is_empty()
            && self.known.is_empty()
            && self.subscriptions.is_empty()
            && self.invoices.is_empty()
    }

    /// What each notice led to, now that all that is wanted was read, and `subscriptions` and
    /// `invoices` are what there is of it.
    #[must_use]
    pub fn conclusions(
        &self,
        subscriptions: &[Subscription],
        invoices: &[Invoice],
    ) -> Vec<(NoticeNumber, Conclusion)> {
        let concluded = |about: &Announced, kind: &str| match about {
            Announced::Subscription(name) => {
                let found = subscriptions.iter().any(|each| each.id == *name);
                read_again("subscription", name, found)
            }
            Announced::Invoice(name) => {
                let found = invoices.iter().any(|each| each.id == *name);
                read_again("invoice", name, found)
            }
            Announced::AccountGone(account) => {
                Conclusion::Acted(format!("the subscriptions of {account} were read again"))
            }
            Announced::Meters => Conclusion::Acted("the meters were read again".to_owned()),
            Announced::Rejections => Conclusion::Acted("its report was read".to_owned()),
            Announced::Nothing => Conclusion::Ignored(format!("nothing follows from {kind}")),
        };
        let known = || Conclusion::Acted("it was read since with all the others".to_owned());
        let known = self.known.iter().map(|number| (*number, known()));
        let about = self.about.iter();
        about.map(|(number, about, kind)| (*number, concluded(about, kind))).chain(known).collect()
    }
}

fn read_again(kind: &str, name: &dyn std::fmt::Display, found: bool) -> Conclusion {
    if found {
        Conclusion::Acted(format!("{kind} {name} was read again"))
    } else {
        Conclusion::Ignored(format!("there is no {kind} {name}"))
    }
}

/// The newest invoices of those of `subscriptions` that fell due.
#[must_use]
pub fn latest_of(
    subscriptions: &[Subscription],
    overdue: &BTreeSet<SubscriptionId>,
) -> BTreeSet<InvoiceId> {
    subscriptions
        .iter()
        .filter(|subscription| overdue.contains(&subscription.id))
        .filter_map(|subscription| subscription.latest_invoice.clone())
        .collect()
}
