//! Stripe's room. Here: what the rest of the program sees of a Stripe account. Never here: when to
//! send, or what an answer leads to. Read next: [`settings`], then down the list.
//!
//! A meter event is made in [`encode`], leaves through [`client`], by itself or through the
//! [`stream`], and its answer is read in [`classify`]. What Stripe promises stands in [`promises`];
//! its meters are read in [`meters`], its totals in [`summaries`]. What it announces by webhook is
//! proven in [`signature`] and read in [`notices`]; the lists of it are read in [`feeds`]. What it
//! bills is read in [`subscriptions`], [`invoices`] and [`prices`], what it rejected late in
//! [`rejections`], on what [`objects`] share; [`billing`] asks for all of that. What the account is
//! beside its settings is asked in [`inspection`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use secrecy::ExposeSecret as _;

use super::wire::Body;
use super::{
    CannotTell, Capabilities, Contact, EncodeError, Encoded, Grouping, Inspection, NoticeReader,
    Provider, Request, Totals, UnusableMeter,
};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::event::{EventIntent, Says};
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::provider_facts::{AccountPin, Lanes, MeterPin};
use crate::domain::state::HoldReason;
use crate::domain::time::Window;

pub mod settings;
pub mod promises;
pub mod meters;
pub mod encode;
pub mod bulk;
pub mod classify;
pub mod summaries;
pub mod signature;
pub mod notices;
pub mod objects;
pub mod prices;
pub mod subscriptions;
pub mod invoices;
pub mod feeds;
pub mod rejections;
pub mod billing;
pub mod inspection;
pub mod client;
pub mod stream;

use classify::adjustment;
use client::{Client, Reading};
use encode::json::{self, Stored};
use notices::SignedNotices;
use prices::Catalogue;
use settings::{Channel, Settings};
use stream::Stream;
use summaries::Rows;

/// Why a Stripe account cannot be worked with as it is set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The key does not say what it is. The key itself is never shown.
    #[error(
        "the key of {0} is no secret or restricted key: it has to start with sk_live_, rk_live_, \
         sk_test_ or rk_test_"
    )]
    Key(ProviderName),
    /// The address is none that a key may be sent to.
    #[error("the api address of {0} {1}")]
    Api(ProviderName, &'static str),
    /// The stream's address is none that a token may be sent to.
    #[error("the stream_api address of {0} {1}")]
    StreamApi(ProviderName, &'static str),
    /// A webhook secret is nothing, which everybody knows.
    #[error("a webhook secret of {0} is empty or blank")]
    WebhookSecret(ProviderName),
    /// The HTTP client could not be made.
    #[error("the HTTP client of {0} cannot be made: {1}")]
    Http(ProviderName, String),
}

/// Which mode a key is for, by how it starts; nothing when it starts like no usable key. Stripe's
/// account object has no mode, so the key's own prefix is the only word on it before the first
/// answer.
#[must_use]
pub fn key_livemode(key: &str) -> Option<bool> {
    let starts = |prefixes: [&str; 2]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    if starts(["sk_live_", "rk_live_"]) {
        Some(true)
    } else if starts(["sk_test_", "rk_test_"]) {
        Some(false)
    } else {
        None
    }
}

/// What is known of the meters.
#[derive(Debug, Default)]
struct Meters {
    pinned: BTreeMap<ProviderMeter, MeterPin>,
    unusable: Vec<UnusableMeter>,
}

/// One Stripe account.
pub struct Stripe {
    name: ProviderName,
    declared_account: Option<String>,
    declared: Vec<MeterPin>,
    livemode: bool,
    client: Client,
    channel: Channel,
    stream: Stream,
    notices: Option<Arc<SignedNotices>>,
    meters: RwLock<Meters>,
    prices: Mutex<Catalogue>,
}

impl fmt::Debug for Stripe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stripe")
            .field("name", &self.name)
            .field("livemode", &self.livemode)
            .finish_non_exhaustive()
    }
}

impl Stripe {
    /// Makes ready to talk to the account; nothing is sent yet. Declared meters are known from here
    /// on.
    ///
    /// # Errors
    /// When the key does not say what it is, or must not be sent to the address that is set; or
    /// when a webhook secret is none.
    pub fn new(settings: &Settings) -> Result<Self, BuildError> {
        let livemode = key_livemode(settings.key.expose_secret())
            .ok_or_else(|| BuildError::Key(settings.name.clone()))?;
        let client = Client::new(settings, livemode)?;
        let secrets = &settings.webhook_secrets;
        if secrets.iter().any(|secret| secret.expose_secret().trim().is_empty()) {
            return Err(BuildError::WebhookSecret(settings.name.clone()));
        }
        let notices = (!secrets.is_empty())
            .then(|| Arc::new(SignedNotices { secrets: secrets.clone(), livemode }));
        let declared = settings.meters.iter().map(|pin| (pin.meter.clone(), pin.clone())).collect();
        Ok(Self {
            name: settings.name.clone(),
            declared_account: settings.account.clone(),
            declared: settings.meters.clone(),
            livemode,
            client,
            channel: settings.channel,
            stream: Stream::new(livemode, settings.timeout_millis),
            notices,
            meters: RwLock::new(Meters { pinned: declared, unusable: Vec::new() }),
            prices: Mutex::default(),
        })
    }

    /// Whether the key is a live one.
    #[must_use]
    pub const fn livemode(&self) -> bool {
        self.livemode
    }

    /// Reads what is known of the meters. A panic elsewhere cannot leave it half changed, so a
    /// poisoned lock is read all the same.
    fn with_meters<T>(&self, read: impl FnOnce(&Meters) -> T) -> T {
        read(&self.meters.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the operator said of a meter.
    fn declared_as(&self, meter: &ProviderMeter) -> Option<&MeterPin> {
        self.declared.iter().find(|pin| pin.meter == *meter)
    }

    fn mode(&self) -> &'static str {
        if self.livemode { "live" } else { "test" }
    }

    /// Sends events that the stream is to take, by one request; what that comes to for each.
    async fn told_by_stream(&self, body: &[u8], events: usize) -> Answer {
        match self.stream.attempt(&self.client, body).await {
            Ok(received) => classify::stream::told(&received, events),
            Err(not_answered) => *not_answered,
        }
    }

    /// Sends an event by itself, by the version that its bytes are for.
    async fn told_alone(&self, request: &Request<'_>, path: &str, body: Body) -> Answer {
        let (identifier, livemode) = (request.identifier, self.livemode);
        match self.client.post(path, body, request.idempotency_key).await {
            Ok(received) => {
                classify::meter_event(&received, classify::Expected { identifier, livemode })
            }
            Err(not_answered) => *not_answered,
        }
    }
}

#[async_trait]
impl Provider for Stripe {
    fn capabilities(&self, meter: &ProviderMeter) -> Result<Capabilities, CannotTell> {
        self.with_meters(|meters| match meters.pinned.get(meter) {
            Some(pin) => promises::of(pin, self.declared_as(meter), self.channel),
            None => Err(CannotTell {
                reason: HoldReason::NoMeter,
                why: match meters.unusable.iter().find(|each| each.meter == meter.as_str()) {
                    Some(unusable) => format!("the meter \"{meter}\" {}", unusable.reason),
                    None => EncodeError::UnknownMeter(meter.clone()).to_string(),
                },
            }),
        })
    }

    fn lanes(&self) -> Lanes {
        Lanes::OfMeters
    }

    fn recognises_for_micros(&self) -> Option<i64> {
        Some(promises::DEDUPE_WINDOW_MICROS - promises::DEDUPE_MARGIN_MICROS)
    }

    fn notice_reader(&self) -> Option<Arc<dyn NoticeReader>> {
        let reader = self.notices.clone()?;
        Some(reader)
    }

    fn adopt_meters(&self, meters: Vec<MeterPin>) {
        let mut known = self.meters.write().unwrap_or_else(PoisonError::into_inner);
        // What was declared and is not pinned yet stays known.
        known.pinned.extend(meters.into_iter().map(|pin| (pin.meter.clone(), pin)));
    }

    fn encode(
        &self,
        meter: &ProviderMeter,
        account: &AccountName,
        intent: &EventIntent,
    ) -> Result<Encoded, EncodeError> {
        self.with_meters(|meters| match meters.pinned.get(meter) {
            Some(pin) => Ok(Encoded { body: encode::body(pin, account, intent, self.channel) }),
            None => Err(EncodeError::UnknownMeter(meter.clone())),
        })
    }

    async fn send(&self, request: Request<'_>) -> Answer {
        let bytes = || request.body.to_vec();
        let target = match request.says {
            Says::Usage => {
                return match json::read(request.body) {
                    Stored::Form => {
                        self.told_alone(&request, client::METER_EVENTS, Body::Form(bytes())).await
                    }
                    Stored::Object => {
                        let path = client::METER_EVENTS_V2;
                        self.told_alone(&request, path, Body::Json(bytes())).await
                    }
                    Stored::Streamed(_) => self.told_by_stream(request.body, 1).await,
                };
            }
            Says::Cancel(target) => target.as_str(),
        };
        let body = Body::Form(bytes());
        match self.client.post(client::ADJUSTMENTS, body, request.idempotency_key).await {
            Ok(received) => {
                let expected = adjustment::Expected { target, livemode: self.livemode };
                adjustment::adjustment(&received, expected)
            }
            Err(not_answered) => *not_answered,
        }
    }

    /// Events of the stream are, whatever channel is set by now: their bytes are for it.
    fn is_batched(&self, says: &Says, body: &[u8]) -> bool {
        match (says, json::read(body)) {
            (Says::Usage, Stored::Streamed(_)) => true,
            (Says::Usage, Stored::Form | Stored::Object) | (Says::Cancel(_), _) => false,
        }
    }

    fn batch_max(&self) -> u32 {
        match self.channel {
            Channel::V1 | Channel::V2 => 1,
            Channel::Stream => promises::BATCH_MAX,
        }
    }

    async fn send_batch(&self, requests: &[Request<'_>]) -> Vec<Answer> {
        let streamed = |request: &Request<'_>| match json::read(request.body) {
            Stored::Streamed(event) => Some(event.get().to_owned()),
            Stored::Form | Stored::Object => None,
        };
        if let Some(events) = requests.iter().map(streamed).collect::<Option<Vec<String>>>() {
            let body = json::joined(&events);
            return vec![self.told_by_stream(&body, events.len()).await; events.len()];
        }
        // Whoever asks was told which events go with others, and these do not.
        super::one_by_one(self, requests).await
    }

    async fn read_totals(
        &self,
        meter: &ProviderMeter,
        account: &AccountName,
        span: Window,
        grouping: Grouping,
    ) -> Result<Totals, Answer> {
        let not_asked = |why: String| Answer::bare(Outcome::Refused(HoldReason::NoMeter), why);
        let id = self.with_meters(|meters| match meters.pinned.get(meter) {
            Some(MeterPin { id: Some(id), .. }) => Ok(id.clone()),
            Some(MeterPin { id: None, .. }) => Err(not_asked(format!(
                "the totals of the meter \"{meter}\" cannot be read: its id is not known, as it \
                 was declared without one and the key may not list meters"
            ))),
            None => Err(not_asked(EncodeError::UnknownMeter(meter.clone()).to_string())),
        })?;
        let rows = Rows::of(&id, account, span, grouping, self.livemode)
            .map_err(|why| Answer::bare(Outcome::Refused(HoldReason::Refused), why.to_string()))?;
        let reading = Reading::new(&self.client);
        let parts = reading.totals(rows).await.map_err(|answer| *answer)?;
        Ok(Totals { parts, provider_at: reading.provider_at(), calls: reading.calls() })
    }

    async fn contact(&self) -> Result<Contact, Answer> {
        let reading = Reading::new(&self.client);
        let account = reading.account().await.map_err(|answer| *answer)?;
        let listed = reading.meters().await.map_err(|answer| *answer)?;
        let mut meters = match listed {
            Some(listed) => {
                if listed.iter().any(|meter| meter.livemode != self.livemode) {
                    let mode = self.mode();
                    let message = format!("the key is a {mode} key, but its meters are not");
                    return Err(Answer::bare(Outcome::WrongAccount, message));
                }
                let (pins, unusable) = meters::read(&listed);
                self.meters.write().unwrap_or_else(PoisonError::into_inner).unusable = unusable;
                pins
            }
            None => Vec::new(),
        };
        // What Stripe says of a meter outranks what was declared of it.
        let undeclared = |meter: &ProviderMeter| meters.iter().all(|found| found.meter != *meter);
        let declared: Vec<MeterPin> =
            self.declared.iter().filter(|pin| undeclared(&pin.meter)).cloned().collect();
        meters.extend(declared);
        let declared_other = match (&self.declared_account, &account) {
            (Some(declared), Some(found)) if declared != found => Some(declared.clone()),
            (Some(_) | None, _) => None,
        };
        Ok(Contact {
            account: AccountPin { account, livemode: self.livemode },
            meters,
            provider_at: reading.provider_at(),
            declared_other,
            unusable: self.with_meters(|meters| meters.unusable.clone()),
        })
    }

    async fn inspect(&self, routed: &BTreeSet<ProviderMeter>) -> Inspection {
        self.inspected(routed).await
    }
}
