//! Where levers are asked for. Here: from a customer and a lever to its figures, or why there are
//! none. Never here: HTTP, what a figure comes to ([`super::answer`]). Read next: `web::levers`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::answer::{LeverUsage, figure, parts};
use super::lever::{Lever, Period};
use crate::accrual::route::{AccountRule, Route};
use crate::domain::balance::Place;
use crate::domain::names::{CustomerName, ProviderName};
use crate::domain::time::{Timestamp, Window};
use crate::domain::usage::Span;
use crate::ledger::LedgerError;
use crate::ledger::usage::{UsageLedger, UsageQuestion, UsageTold};
use crate::service::changing::Changing;

/// Why a lever has no figures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The customer's account is in no billing period that the ledger has learned of.
    #[error("no billing period of \"{0}\" is known that holds this moment")]
    NoPeriod(CustomerName),
    /// Routes of the meter lead to accounts whose billing periods differ.
    #[error("\"{0}\" is in billing periods that differ: {1}")]
    PeriodsDiffer(CustomerName, String),
    /// Records that may count were archived before the lever was first counted.
    #[error("records of before {0} were archived before this lever was counted")]
    Archived(Timestamp),
    /// The sums are too far behind the journal.
    #[error("{0} records or corrections are still to be counted; ask again soon")]
    Behind(i64),
    /// It was not counted so far.
    #[error("this lever is not counted yet: it is from the daemon's next start on")]
    NotCounted,
    /// It is too long a list.
    #[error("it is of more buckets or subscriptions than an answer lists")]
    TooMany,
}

impl Unknown {
    /// What programs know it by.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoPeriod(_) => "no_period",
            Self::PeriodsDiffer(..) => "periods_differ",
            Self::Archived(_) => "history_archived",
            Self::Behind(_) => "usage_behind",
            Self::NotCounted => "not_counted",
            Self::TooMany => "too_many_buckets",
        }
    }

    /// Whether it passes by itself.
    #[must_use]
    pub const fn passes(&self) -> bool {
        match self {
            Self::Behind(_) | Self::NotCounted => true,
            Self::NoPeriod(_) | Self::PeriodsDiffer(..) | Self::Archived(_) | Self::TooMany => {
                false
            }
        }
    }
}

/// What a lever says of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Of which time; nothing where it is all time.
    pub window: Option<Window>,
    /// What it comes to.
    pub usage: LeverUsage,
}

/// Answers for levers.
pub struct Desk {
    ledger: Arc<dyn UsageLedger>,
    levers: Vec<Lever>,
    routes: Changing<Vec<Route>>,
    prefixes: HashMap<ProviderName, &'static str>,
}

impl Desk {
    /// Answers for `levers`. Billing periods are those of the accounts that `routes` lead to.
    #[must_use]
    pub fn new(
        ledger: Arc<dyn UsageLedger>,
        levers: Vec<Lever>,
        routes: Vec<Route>,
        prefixes: HashMap<ProviderName, &'static str>,
    ) -> Self {
        Self { ledger, levers, routes: Changing::new(routes), prefixes }
    }

    /// Has billing periods be those of the accounts that these routes lead to, from the next answer
    /// on.
    pub fn follow(&self, routes: Vec<Route>) {
        self.routes.replace(Arc::new(routes));
    }

    /// The levers, in the order of their names.
    #[must_use]
    pub fn levers(&self) -> &[Lever] {
        &self.levers
    }

    /// The lever of this name.
    #[must_use]
    pub fn lever(&self, name: &str) -> Option<&Lever> {
        self.levers.iter().find(|lever| lever.name.as_str() == name)
    }

    /// What `lever` says of `customer` at `now`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn ask(
        &self,
        customer: &CustomerName,
        lever: &Lever,
        now: Timestamp,
    ) -> Result<Result<Figures, Unknown>, LedgerError> {
        let window = match lever.period {
            Period::AllTime => None,
            Period::Rolling(micros) => Some(Period::rolling(micros, now)),
            Period::Subscription => match self.period(customer, lever, now).await? {
                Ok(window) => Some(window),
                Err(why) => return Ok(Err(why)),
            },
        };
        let span = window.map_or(Span::AllTime, |window| Span::Within(lever.period.span(window)));
        let view = lever.view();
        let question = UsageQuestion { view, customer: customer.clone(), span };
        Ok(match self.ledger.usage_of(&question).await? {
            UsageTold::Known(read) => {
                let usage = figure(lever.formula, &parts(&question.view, span, &read));
                Ok(Figures { window, usage })
            }
            UsageTold::NoView => Err(Unknown::NotCounted),
            UsageTold::Behind(count) => Err(Unknown::Behind(count)),
            UsageTold::ArchivedBefore(at) => Err(Unknown::Archived(at)),
            UsageTold::TooMany => Err(Unknown::TooMany),
        })
    }

    /// The billing period that the customer's account is in. Where several routes take the meter,
    /// they have to agree.
    async fn period(
        &self,
        customer: &CustomerName,
        lever: &Lever,
        now: Timestamp,
    ) -> Result<Result<Window, Unknown>, LedgerError> {
        let mut places: BTreeSet<Place> = BTreeSet::new();
        let routes = self.routes.present();
        for route in routes.iter().filter(|route| route.meter == lever.meter) {
            let imported = match route.account {
                AccountRule::Imported => {
                    self.ledger.imported_account(&route.provider, customer).await?
                }
                AccountRule::Identity | AccountRule::Template(_) => None,
            };
            let prefix = self.prefixes.get(&route.provider).copied().unwrap_or_default();
            if let Ok(account) = route.account_of(customer, imported.as_ref(), prefix) {
                places.insert((route.provider.clone(), account, route.provider_meter.clone()));
            }
        }
        let places: Vec<Place> = places.into_iter().collect();
        let mut found = self.ledger.periods_at(&places, now).await?;
        found.sort();
        Ok(match found.as_slice() {
            [] => Err(Unknown::NoPeriod(customer.clone())),
            [one] => Ok(*one),
            several => {
                let named: Vec<String> = several.iter().map(ToString::to_string).collect();
                Err(Unknown::PeriodsDiffer(customer.clone(), named.join(", ")))
            }
        })
    }
}
