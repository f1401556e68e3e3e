//! Cryptolens, now also named Devolens. Here: what the rest of the program sees of an account there
//! whose usage is told by RecordUsage. Never here: a decision over what an unknown outcome leads
//! to, which the core takes by what is promised. Read next: [`settings`], then down the list.
//!
//! A record is made in [`encode`], leaves through [`client`], and its answer is read in
//! [`classify`]. What Cryptolens promises stands in [`promises`]; what it is beside its settings is
//! asked in [`inspection`]. An account is a license key here, and a meter one of the products that
//! keys are of.
//!
//! RecordUsage adds an amount to the Stripe subscription item that a key is tied to. It knows no
//! identifier, no time and no cancellation, and nothing can be read back: usage counts when it
//! arrives, in whatever period that is, and an answer that was lost is never found. So an event is
//! told once, and is held when its answer is not known, unless the operator chose that it be told
//! again. It rests on usage records, which Stripe took out of its API with version 2025-03-31: only
//! an account that Cryptolens still serves by an older one can be told anything.
//! <https://app.cryptolens.io/docs/api/v3/RecordUsage>
//! <https://docs.stripe.com/changelog/basil/2025-03-31/deprecate-legacy-usage-based-billing>

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

/// One account at Cryptolens.
pub struct Cryptolens {
    settings: Settings,
    client: Client,
}

impl fmt::Debug for Cryptolens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cryptolens").field("name", &self.settings.name).finish_non_exhaustive()
    }
}

impl Cryptolens {
    /// Makes ready to talk to the account; nothing is sent yet.
    ///
    /// # Errors
    /// When the token must not be sent to the address that is set.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let client = Client::new(&settings)?;
        Ok(Self { settings, client })
    }

    fn knows(&self, meter: &ProviderMeter) -> bool {
        self.settings.products.contains(meter)
    }

    /// Nothing tells which account a token is of.
    fn account(&self) -> AccountPin {
        AccountPin { account: None, livemode: self.settings.livemode }
    }
}

/// A product as it is pinned.
fn pin(product: &ProviderMeter) -> MeterPin {
    counting::pin(product, encode::KEY, encode::AMOUNT)
}

#[async_trait]
impl Provider for Cryptolens {
    fn capabilities(&self, meter: &ProviderMeter) -> Result<Capabilities, CannotTell> {
        if self.knows(meter) {
            return Ok(promises::OF_RECORD_USAGE);
        }
        let why = format!("the product \"{meter}\" is not declared: nobody says that it is sold");
        Err(CannotTell { reason: HoldReason::NoMeter, why })
    }

    fn lanes(&self) -> Lanes {
        Lanes::OfMeters
    }

    fn recognises_for_micros(&self) -> Option<i64> {
        self.settings.on_unknown.resends_for_micros()
    }

    /// What it took stays, and nothing tells of it.
    fn undoes(&self) -> bool {
        false
    }

    /// Cryptolens announces nothing of usage.
    fn notice_reader(&self) -> Option<Arc<dyn NoticeReader>> {
        None
    }

    /// Nothing is learned of a product.
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

    /// No key goes along: there is none that Cryptolens would know.
    async fn send(&self, request: Request<'_>) -> Answer {
        match self.client.record(request.body.to_vec()).await {
            Ok(received) => classify::recorded(&received),
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
        Err(counting::no_totals(meter, self.knows(meter), "what was recorded cannot be read back"))
    }

    async fn contact(&self) -> Result<Contact, Answer> {
        let greeted = self.client.products().await.map_err(|answer| *answer)?;
        Ok(Contact {
            account: self.account(),
            meters: self.settings.products.iter().map(pin).collect(),
            provider_at: greeted.provider_at,
            declared_other: None,
            unusable: Vec::new(),
        })
    }

    async fn inspect(&self, _: &BTreeSet<ProviderMeter>) -> Inspection {
        self.inspected().await
    }
}
