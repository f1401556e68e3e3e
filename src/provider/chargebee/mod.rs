//! Chargebee's room. Here: what the rest of the program sees of a Chargebee site that meters by
//! usages; one that meters by events is seen through [`usage_events`]. Never here: when to send, or
//! what an answer leads to. Read next: [`settings`], then down the list.
//!
//! A usage is made in [`encode`], leaves through [`client`], and its answer is read in
//! [`classify`]. What Chargebee promises stands in [`promises`]; what it holds is listed and added
//! up in [`usages`]. How it bills is asked in [`billing`]: [`subscriptions`], [`invoices`] and the
//! [`events`] that announce them, which also come by [`webhooks`]. The PDF of an invoice's usages
//! is had by [`documents`], as a [`download`]. What the site is beside its settings is asked in
//! [`inspection`].
//!
//! An account is a subscription here, and a meter one of its metered item prices.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::ExposeSecret as _;

use super::{
    CannotTell, Capabilities, Contact, EncodeError, Encoded, Grouping, Inspection, NoticeReader,
    Provider, Request, Totals,
};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::event::{EventIntent, Says};
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::provider_facts::{AccountPin, Formula, Lanes, MeterPin};
use crate::domain::state::HoldReason;
use crate::domain::time::Window;

pub mod settings;
pub mod promises;
pub mod encode;
pub mod classify;
pub mod usages;
pub mod objects;
pub mod subscriptions;
pub mod invoices;
pub mod events;
pub mod webhooks;
pub mod billing;
pub mod download;
pub mod documents;
pub mod inspection;
pub mod pace;
pub mod client;
pub mod usage_events;

use client::{Access, Client, Inquiry};
use settings::{ItemPrice, Settings};
use usages::Listing;
use webhooks::ProtectedNotices;

/// Asks for any usage at all: whether the key and the site take such questions.
const GREETING: &str = "/usages?limit=1";

/// Why a Chargebee site cannot be worked with as it is set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The key is for the other kind of site. The key itself is never shown.
    #[error("the key of {0} says that it is for a {1} site, and its site is none")]
    Key(ProviderName, &'static str),
    /// The address is none that a key may be sent to.
    #[error("the api address of {0} {1}")]
    Api(ProviderName, &'static str),
    /// The HTTP client could not be made.
    #[error("the HTTP client of {0} cannot be made: {1}")]
    Http(ProviderName, String),
}

/// One Chargebee site.
pub struct Chargebee {
    settings: Settings,
    /// The item prices by their ids alone.
    meters: Vec<ProviderMeter>,
    client: Client,
}

impl fmt::Debug for Chargebee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, site) = (&self.settings.name, &self.settings.site);
        f.debug_struct("Chargebee").field("name", name).field("site", site).finish_non_exhaustive()
    }
}

impl Chargebee {
    /// Makes ready to talk to the site; nothing is sent yet.
    ///
    /// # Errors
    /// When the key is for the other kind of site, or must not be sent to the address that is set.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let livemode = settings.livemode();
        check_key(&settings.name, settings.key.expose_secret(), livemode)?;
        let client = Client::new(&Access {
            name: &settings.name,
            api: &settings.api,
            own: settings::api_of(&settings.site),
            livemode,
            key: &settings.key,
            rate_per_minute: settings.rate_per_minute,
            timeout_millis: settings.timeout_millis,
        })?;
        let meters = settings.item_prices.iter().map(|price| price.id.clone()).collect();
        Ok(Self { settings, meters, client })
    }

    fn item_price(&self, meter: &ProviderMeter) -> Option<&ItemPrice> {
        self.settings.item_prices.iter().find(|price| price.id == *meter)
    }
}

/// Refuses a key of the other kind of site. Keys are reported to begin with what they are for; one
/// that begins otherwise may be of another form.
fn check_key(name: &ProviderName, key: &str, livemode: bool) -> Result<(), BuildError> {
    let contrary = if livemode { ("test_", "test") } else { ("live_", "live") };
    if key.starts_with(contrary.0) {
        return Err(BuildError::Key(name.clone(), contrary.1));
    }
    Ok(())
}

/// An item price as it is pinned: it has neither payload keys nor an id of its own beside its name.
fn pin(meter: &ProviderMeter) -> MeterPin {
    MeterPin {
        meter: meter.clone(),
        id: None,
        formula: Formula::Sum,
        customer_key: "subscription_id".to_owned(),
        value_key: "quantity".to_owned(),
        span: None,
        active: true,
        learned: false,
    }
}

#[async_trait]
impl Provider for Chargebee {
    fn capabilities(&self, meter: &ProviderMeter) -> Result<Capabilities, CannotTell> {
        if let Some(price) = self.item_price(meter) {
            let Settings { decimals, usages_max, .. } = self.settings;
            return Ok(promises::of(price.aggregation, decimals, usages_max));
        }
        let why =
            format!("the item price \"{meter}\" is not declared: how its usages are added up");
        Err(CannotTell { reason: HoldReason::NoMeter, why: format!("{why} is not known") })
    }

    fn lanes(&self) -> Lanes {
        Lanes::OfAccounts
    }

    fn recognises_for_micros(&self) -> Option<i64> {
        Some(promises::ENDLESS_MICROS)
    }

    fn notice_reader(&self) -> Option<Arc<dyn NoticeReader>> {
        let (password, livemode) = (self.settings.webhooks.as_ref()?, self.settings.livemode());
        Some(Arc::new(ProtectedNotices::new(password, livemode)))
    }

    /// Nothing is learned of an item price: how its usages are added up is told by no answer.
    fn adopt_meters(&self, _meters: Vec<MeterPin>) {}

    fn encode(
        &self,
        meter: &ProviderMeter,
        _account: &AccountName,
        intent: &EventIntent,
    ) -> Result<Encoded, EncodeError> {
        if self.item_price(meter).is_some() {
            return Ok(Encoded { body: encode::body(meter, intent) });
        }
        Err(EncodeError::UnknownMeter(meter.clone()))
    }

    async fn send(&self, request: Request<'_>) -> Answer {
        let Request { says, account, body, idempotency_key, .. } = request;
        match says {
            Says::Usage => match encode::read(body) {
                Some(sent) => self.client.create(account, (&sent, body), idempotency_key).await,
                // As after a change of the way in which the site meters: they will never be taken.
                None => {
                    let refused = Outcome::Refused(HoldReason::MeterMismatch);
                    Answer::bare(refused, "the stored bytes are no usage")
                }
            },
            Says::Cancel(target) => {
                self.client.delete(account, (target.as_str(), body), idempotency_key).await
            }
        }
    }

    async fn read_totals(
        &self,
        meter: &ProviderMeter,
        account: &AccountName,
        span: Window,
        grouping: Grouping,
    ) -> Result<Totals, Answer> {
        let not_asked = |reason, why| Answer::bare(Outcome::Refused(reason), why);
        if self.item_price(meter).is_none() {
            let why = EncodeError::UnknownMeter(meter.clone()).to_string();
            return Err(not_asked(HoldReason::NoMeter, why));
        }
        let listing = Listing::of(meter, account, span, grouping)
            .map_err(|why| not_asked(HoldReason::Refused, why))?;
        let mut inquiry = Inquiry::new(&self.client);
        let parts = inquiry.totals(listing).await.map_err(|answer| *answer)?;
        Ok(Totals { parts, provider_at: inquiry.provider_at(), calls: inquiry.calls() })
    }

    async fn contact(&self) -> Result<Contact, Answer> {
        let provider_at =
            Inquiry::new(&self.client).greet(GREETING).await.map_err(|answer| *answer)?;
        let (account, livemode) = (Some(self.settings.site.clone()), self.settings.livemode());
        Ok(Contact {
            account: AccountPin { account, livemode },
            meters: self.meters.iter().map(pin).collect(),
            provider_at,
            declared_other: None,
            unusable: Vec::new(),
        })
    }

    async fn inspect(&self, _: &BTreeSet<ProviderMeter>) -> Inspection {
        self.inspected().await
    }
}
