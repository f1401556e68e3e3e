//! The other way of a Chargebee site to meter. Here: what the rest of the program sees of a site
//! that meters by usage events. Never here: a usage, which is an entry ([`super`]). Read next:
//! [`settings`], then down the list.
//!
//! An event is made in [`encode`], leaves through [`super::client`], by itself or with others, and
//! its answer is read in [`classify`]. What Chargebee promises stands in [`promises`]; what it
//! counted is read from its [`summaries`]; what it is beside its settings is asked in
//! [`inspection`]. An account is a subscription here, and a meter one of
//! the site's metered features.
//!
//! How it bills is not followed. An invoice's line names an item price and not the feature that it
//! charges for, and what the subscription includes may be taken off its quantity: which usage it is
//! of is documented nowhere, nor until when an invoice takes events that are late. So no invoice is
//! compared, no window is cut where a term ends, and nothing waits for a term. An event is of the
//! time of its newest usage: of the window in which a term ends, all may be billed with the next.
//! Events are told within hours of their usage, and what is told is compared with the summaries.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::ExposeSecret as _;

use super::BuildError;
use super::client::{Access, Client, Ingest, Inquiry};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::event::EventIntent;
use crate::domain::names::{AccountName, ProviderMeter};
use crate::domain::provider_facts::{AccountPin, Formula, Lanes, MeterPin};
use crate::domain::state::HoldReason;
use crate::domain::time::Window;
use crate::provider::{
    CannotTell, Capabilities, Contact, EncodeError, Encoded, Grouping, Inspection, NoticeReader,
    Provider, Request, Totals,
};

pub mod settings;
pub mod promises;
pub mod encode;
pub mod classify;
pub mod summaries;
pub mod inspection;

use encode::Identity;
use settings::{Feature, Settings, ingest_of};
use summaries::Summaries;

/// What takes one event.
const ONE: &str = "/usage_events";
/// What takes several.
const SEVERAL: &str = "/batch/usage_events";

/// One Chargebee site that meters by usage events.
pub struct UsageEvents {
    settings: Settings,
    client: Client,
    ingest: Ingest,
}

impl fmt::Debug for UsageEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, site) = (&self.settings.name, &self.settings.site);
        f.debug_struct("UsageEvents")
            .field("name", name)
            .field("site", site)
            .finish_non_exhaustive()
    }
}

impl UsageEvents {
    /// Makes ready to talk to the site; nothing is sent yet.
    ///
    /// # Errors
    /// When the key is for the other kind of site, or must not be sent to an address that is set.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let livemode = settings.livemode();
        super::check_key(&settings.name, settings.key.expose_secret(), livemode)?;
        let access = Access {
            name: &settings.name,
            api: &settings.api,
            own: super::settings::api_of(&settings.site),
            livemode,
            key: &settings.key,
            rate_per_minute: settings.reads_per_minute,
            timeout_millis: settings.timeout_millis,
        };
        let own = ingest_of(&settings.site);
        let ingest = Ingest::new(&Access { api: &settings.ingest, own, ..access.clone() })?;
        let client = Client::new(&access)?;
        Ok(Self { settings, client, ingest })
    }

    fn feature(&self, meter: &ProviderMeter) -> Option<&Feature> {
        self.settings.features.iter().find(|feature| feature.id == *meter)
    }
}

/// A feature as it is pinned.
fn pin(feature: &Feature) -> MeterPin {
    MeterPin {
        meter: feature.id.clone(),
        id: None,
        formula: Formula::Sum,
        customer_key: "subscription_id".to_owned(),
        value_key: feature.property.clone(),
        span: None,
        active: true,
        learned: false,
    }
}

/// What becomes of stored bytes that are none of an event's, as after a change of the way in which
/// the site meters: a person decides, as they will never be taken.
fn no_event() -> Answer {
    let why = "the stored bytes are no usage event";
    Answer::bare(Outcome::Refused(HoldReason::MeterMismatch), why)
}

#[async_trait]
impl Provider for UsageEvents {
    fn capabilities(&self, meter: &ProviderMeter) -> Result<Capabilities, CannotTell> {
        if self.feature(meter).is_some() {
            return Ok(promises::OF_A_FEATURE);
        }
        let why = format!("the feature \"{meter}\" is not declared: which property it adds up");
        Err(CannotTell { reason: HoldReason::NoMeter, why: format!("{why} is not known") })
    }

    fn lanes(&self) -> Lanes {
        Lanes::OfMeters
    }

    fn recognises_for_micros(&self) -> Option<i64> {
        Some(promises::RECOGNISES_FOR_MICROS)
    }

    /// Nothing follows from what the site announces, as its bills are not followed.
    fn notice_reader(&self) -> Option<Arc<dyn NoticeReader>> {
        None
    }

    /// Nothing is learned of a feature: which property its meter adds up is told by no answer.
    fn adopt_meters(&self, _meters: Vec<MeterPin>) {}

    fn encode(
        &self,
        meter: &ProviderMeter,
        account: &AccountName,
        intent: &EventIntent,
    ) -> Result<Encoded, EncodeError> {
        let unknown = || EncodeError::UnknownMeter(meter.clone());
        let feature = self.feature(meter).ok_or_else(unknown)?;
        Ok(Encoded { body: encode::body(feature, account, intent)? })
    }

    /// No key goes along: Chargebee's own clients send none here, and the event's identity says the
    /// same.
    async fn send(&self, request: Request<'_>) -> Answer {
        let Some(event) = encode::read(request.body) else { return no_event() };
        match self.ingest.tell(ONE, request.body.to_vec()).await {
            Ok(received) => classify::told(&received, &event),
            Err(not_answered) => *not_answered,
        }
    }

    fn batch_max(&self) -> u32 {
        promises::BATCH_MAX
    }

    async fn send_batch(&self, requests: &[Request<'_>]) -> Vec<Answer> {
        let events: Vec<Option<Identity>> =
            requests.iter().map(|request| encode::read(request.body)).collect();
        let told = requests.iter().zip(&events).filter(|(_, event)| event.is_some());
        let bodies: Vec<&[u8]> = told.map(|(request, _)| request.body).collect();
        let known: Vec<Identity> = events.iter().flatten().cloned().collect();
        let mut answers = match self.ingest.tell(SEVERAL, encode::batch(&bodies)).await {
            Ok(received) => classify::all_told(&received, &known),
            Err(not_answered) => vec![*not_answered; known.len()],
        }
        .into_iter();
        let unsaid = || Answer::bare(Outcome::Unknown, "no answer was told for it");
        let answer = |event: &Option<Identity>| match event {
            Some(_) => answers.next().unwrap_or_else(unsaid),
            None => no_event(),
        };
        events.iter().map(answer).collect()
    }

    async fn read_totals(
        &self,
        meter: &ProviderMeter,
        account: &AccountName,
        span: Window,
        grouping: Grouping,
    ) -> Result<Totals, Answer> {
        let not_asked = |reason, why| Answer::bare(Outcome::Refused(reason), why);
        if self.feature(meter).is_none() {
            let why = EncodeError::UnknownMeter(meter.clone()).to_string();
            return Err(not_asked(HoldReason::NoMeter, why));
        }
        let summaries = Summaries::of(meter, account, span, grouping)
            .map_err(|why| not_asked(HoldReason::Refused, why))?;
        let mut inquiry = Inquiry::new(&self.client);
        let parts = inquiry.summaries(account, summaries).await.map_err(|answer| *answer)?;
        Ok(Totals { parts, provider_at: inquiry.provider_at(), calls: inquiry.calls() })
    }

    async fn contact(&self) -> Result<Contact, Answer> {
        // A site may be without the Usages API, and never without subscriptions.
        let mut inquiry = Inquiry::new(&self.client);
        let provider_at = inquiry.greet("/subscriptions?limit=1").await.map_err(|told| *told)?;
        let (account, livemode) = (Some(self.settings.site.clone()), self.settings.livemode());
        Ok(Contact {
            account: AccountPin { account, livemode },
            meters: self.settings.features.iter().map(pin).collect(),
            provider_at,
            declared_other: None,
            unusable: Vec::new(),
        })
    }

    async fn inspect(&self, _: &BTreeSet<ProviderMeter>) -> Inspection {
        self.inspected().await
    }
}
