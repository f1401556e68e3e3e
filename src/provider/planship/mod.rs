//! Planship, where tallyd reports usage; what it takes reports as is [`crate::web`]'s. Here: what
//! the rest of the program sees of a product there. Never here: a decision over what an unknown
//! outcome leads to, which the core takes by what is promised. Read next: [`settings`], then down
//! the list.
//!
//! A report is made in [`encode`], leaves through [`client`] by a token that is kept in memory
//! ([`crate::provider::session`]), and its answer is read in [`classify`]. What Planship promises
//! stands in [`promises`]; what it is beside its settings is asked in [`inspection`]. An account is
//! a customer here, by any id that Planship calls it by, and a meter a metering id.
//!
//! A report adds usage to a metering id of a customer. It knows no identifier, no time and no
//! cancellation: usage counts when it arrives, in whatever period that is. What levers come to can
//! be read, and not what became of one report. So an event is told once, and is held when its
//! answer is not known, unless the operator chose that it be told again.
//! <https://docs.planship.io/integration/usage>

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::answer::Answer;
use crate::domain::event::EventIntent;
use crate::domain::names::{AccountName, ProviderMeter};
use crate::domain::provider_facts::{AccountPin, Lanes, MeterPin};
use crate::domain::state::HoldReason;
use crate::domain::time::Window;
use crate::provider::counting::{self, BuildError};
use crate::provider::{
    CannotTell, Capabilities, Contact, EncodeError, Encoded, Grouping, Inspection, NoticeReader,
    Provider, Request, Totals,
};

pub mod settings;
pub mod promises;
pub mod encode;
pub mod client;
pub mod classify;
pub mod inspection;

use client::Client;
use settings::Settings;

/// One product at Planship.
pub struct Planship {
    settings: Settings,
    client: Client,
}

impl fmt::Debug for Planship {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planship").field("name", &self.settings.name).finish_non_exhaustive()
    }
}

impl Planship {
    /// Makes ready to talk to the organization; nothing is sent yet.
    ///
    /// # Errors
    /// When the secret must not be sent to the address that is set.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let client = Client::new(&settings)?;
        Ok(Self { settings, client })
    }

    fn knows(&self, meter: &ProviderMeter) -> bool {
        self.settings.metering_ids.contains(meter)
    }

    /// The product that is written to. It is part of where a report goes and of no event's bytes:
    /// pinned, so that another one in the config cannot redirect what was posted for this one.
    /// Which organization a client is of, its token does not say.
    fn account(&self) -> AccountPin {
        let product = self.settings.product.clone();
        AccountPin { account: Some(product), livemode: self.settings.livemode }
    }
}

/// A metering id as it is pinned.
fn pin(metering_id: &ProviderMeter) -> MeterPin {
    counting::pin(metering_id, encode::CUSTOMER, encode::USAGE)
}

#[async_trait]
impl Provider for Planship {
    fn capabilities(&self, meter: &ProviderMeter) -> Result<Capabilities, CannotTell> {
        if self.knows(meter) {
            return Ok(promises::OF_METERED_USAGE);
        }
        let why =
            format!("the metering id \"{meter}\" is not declared: nobody says that it is one");
        Err(CannotTell { reason: HoldReason::NoMeter, why })
    }

    fn lanes(&self) -> Lanes {
        Lanes::OfMeters
    }

    fn recognises_for_micros(&self) -> Option<i64> {
        self.settings.on_unknown.resends_for_micros()
    }

    /// What it took stays, and no lever tells of one report.
    fn undoes(&self) -> bool {
        false
    }

    /// Planship announces nothing of usage.
    fn notice_reader(&self) -> Option<Arc<dyn NoticeReader>> {
        None
    }

    /// Nothing is learned of a metering id.
    fn adopt_meters(&self, _meters: Vec<MeterPin>) {}

    fn encode(
        &self,
        meter: &ProviderMeter,
        account: &AccountName,
        intent: &EventIntent,
    ) -> Result<Encoded, EncodeError> {
        if !self.knows(meter) {
            return Err(EncodeError::UnknownMeter(meter.clone()));
        }
        Ok(Encoded { body: encode::body(meter, account, intent)? })
    }

    /// No key goes along: there is none that Planship would know.
    async fn send(&self, request: Request<'_>) -> Answer {
        let Request { meter, account, body, .. } = request;
        let sent = classify::Sent { metering_id: meter.as_str(), usage: encode::usage(body) };
        match self.client.report(account.as_str(), meter.as_str(), body).await {
            Ok(received) => classify::reported(&received, sent),
            Err(not_answered) => *not_answered,
        }
    }

    async fn read_totals(
        &self,
        meter: &ProviderMeter,
        _account: &AccountName,
        _span: Window,
        _grouping: Grouping,
    ) -> Result<Totals, Answer> {
        Err(counting::no_totals(
            meter,
            self.knows(meter),
            "what was reported cannot be read back by its time",
        ))
    }

    async fn contact(&self) -> Result<Contact, Answer> {
        let provider_at = self.client.meet().await.map_err(|answer| *answer)?;
        Ok(Contact {
            account: self.account(),
            meters: self.settings.metering_ids.iter().map(pin).collect(),
            provider_at,
            declared_other: None,
            unusable: Vec::new(),
        })
    }

    async fn inspect(&self, _: &BTreeSet<ProviderMeter>) -> Inspection {
        self.inspected().await
    }
}
