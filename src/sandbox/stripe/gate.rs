//! The way in and out. Here: authentication, limits, idempotency keys, lanes, injected faults and
//! the headers of answers. Never here: what a request does. Read next: [`super::perform`].

use std::collections::HashSet;
use std::sync::MutexGuard;

use sha2::{Digest, Sha256};

use super::auth::authenticate;
use super::form::Params;
use super::ledger::RejectionCode;
use super::operation::{NewEvent, Operation, Route};
use super::perform::{Account, Asked};
use super::refusal::{Refusal, Reply};
use super::second::{SecondOperation, SecondRoute};
use super::settings::{Settings, check_grace};
use crate::domain::time::{MICROS_PER_DAY, Timestamp};
use crate::sandbox::faults::{Dice, FaultKind, Reach};
use crate::sandbox::handle::Shared;
use crate::sandbox::limiter::Limiter;
use crate::sandbox::pins::{Pinned, Pins};
use crate::sandbox::stand_in::{Admission, Pace, StandIn};
use crate::sandbox::statistics::{CLOSED, Counters};
use crate::sandbox::wire::{Answer, Delivery, Request, http_date};

/// The version that answers name when the request names none.
pub(super) const VERSION_DEFAULT: &str = "2026-10-28.endive";

/// How long a key of version 2 stands for its request, in microseconds: 30 days. It replays nothing
/// there: a request that comes again is carried out again, as far as that is still to be done.
const SECOND_KEY_MICROS: i64 = 30 * MICROS_PER_DAY;

/// How long an idempotency key replays its answer, in microseconds: Stripe may forget it after 24
/// hours.
const KEY_MICROS: i64 = MICROS_PER_DAY;

/// The longest idempotency key, in characters.
const KEY_LENGTH_MAX: usize = 255;

/// The limiter's reason for the limit over everything, and for an endpoint's own.
const GLOBAL_RATE: &str = "global-rate";
const ENDPOINT_RATE: &str = "endpoint-rate";

/// A customer on a meter: calls for it go one at a time.
type Lane = (String, String);

/// A request past the door.
#[derive(Debug)]
pub(in crate::sandbox) struct Admitted {
    route: &'static str,
    /// Its place among all requests, which its id is made of.
    number: u64,
    work: Work,
    fault: Option<FaultKind>,
    lane: Option<Lane>,
    is_second: bool,
    key: Option<String>,
    /// Whether the key waits for this request's answer.
    occupies_key: bool,
    /// What the key is to remember from when on, once the request is finished.
    remembered: Option<(Reply, Timestamp)>,
    request_id: String,
    version: String,
}

#[derive(Debug)]
enum Work {
    /// Nothing is to be done: this is the answer.
    Answer(Reply),
    Perform(Operation),
}

/// The stream's route.
const STREAM: Route = Route::Second(SecondRoute::Stream);

/// Whether a route takes one event.
const fn is_single(route: &Route) -> bool {
    matches!(route, Route::CreateEvent | Route::Second(SecondRoute::CreateEvent))
}

/// What a request asks for, as its version writes it.
#[derive(Debug)]
enum Asks {
    /// Parameters of version 1, and of what is read of version 2.
    Form(Params),
    /// A document of version 2.
    Second(Result<SecondOperation, Refusal>),
}

impl Asks {
    fn read(route: &Route, request: &Request) -> Self {
        if let Route::Second(route) = route {
            return Self::Second(SecondOperation::read(*route, &request.body));
        }
        Self::Form(Params::parse(request.query.as_bytes(), &request.body))
    }

    /// How many events it brings by the stream.
    fn events(&self) -> usize {
        match self {
            Self::Form(_) | Self::Second(Err(_)) => 0,
            Self::Second(Ok(operation)) => operation.events().len(),
        }
    }

    /// What an idempotency key is compared by.
    fn fingerprint(&self, request: &Request) -> [u8; 32] {
        match self {
            Self::Form(params) => params.fingerprint(request.method.as_str(), &request.path),
            Self::Second(_) => {
                let hash = Sha256::new().chain_update(&request.path).chain_update([0]);
                hash.chain_update(&request.body).finalize().into()
            }
        }
    }

    /// Version 1 takes forms, where JSON would parse as one odd parameter and the message would
    /// mislead, and version 2 takes JSON.
    fn check_content_type(&self, request: &Request) -> Result<(), Refusal> {
        let kind = request.header("content-type").unwrap_or_default();
        let (version, taken) = match self {
            Self::Form(_) => ("v1", "application/x-www-form-urlencoded"),
            Self::Second(_) => ("v2", "application/json"),
        };
        if request.body.is_empty() || kind.starts_with(taken) {
            return Ok(());
        }
        Err(Refusal::invalid(format!("{version} takes {taken}, and this is {kind:?}")))
    }
}

/// The stand-in for Stripe: one account, its door and its counters.
#[derive(Debug)]
pub(in crate::sandbox) struct Stripe {
    pub(super) account: Account,
    pub(super) meter_event_limiter: Option<Limiter>,
    pub(super) stream_limiter: Option<Limiter>,
    pub(super) global_limiter: Limiter,
    pins: Pins<Reply>,
    second_pins: Pins<Reply>,
    lanes: HashSet<Lane>,
    pub(super) dice: Dice,
    pub(super) counters: Counters,
    requests: u64,
}

impl Stripe {
    pub(in crate::sandbox) fn new(
        mut settings: Settings,
        now: Timestamp,
    ) -> Result<Self, crate::sandbox::Error> {
        let faults = std::mem::take(&mut settings.faults);
        faults.check().map_err(crate::sandbox::Error::Faults)?;
        check_grace(settings.invoice_grace).map_err(crate::sandbox::Error::Grace)?;
        let meters = std::mem::take(&mut settings.meters);
        let webhooks = std::mem::take(&mut settings.webhooks);
        let limits = settings.limits;
        let mut stripe = Self {
            account: Account::new(settings),
            meter_event_limiter: None,
            stream_limiter: None,
            global_limiter: Limiter::of_second(None),
            pins: Pins::new(KEY_MICROS),
            second_pins: Pins::new(SECOND_KEY_MICROS),
            lanes: HashSet::new(),
            dice: Dice::default(),
            counters: Counters::default(),
            requests: 0,
        };
        stripe.set_limits(limits);
        stripe.dice.load(faults);
        stripe.set_webhooks(webhooks).map_err(crate::sandbox::Error::Webhooks)?;
        for meter in meters {
            let event_name = meter.event_name.clone();
            stripe
                .create_meter(meter, now)
                .map_err(|reason| crate::sandbox::Error::Meter { event_name, reason })?;
        }
        Ok(stripe)
    }

    fn is_in_reach(&self, route: &Route, request: &Request) -> bool {
        match self.dice.faults.reach {
            Reach::MeterEvents => is_single(route) || *route == STREAM,
            Reach::Writes => request.method != hyper::Method::GET,
            Reach::Everything => true,
        }
    }

    /// Draws by the event's identifier where there is one, so that the draw does not depend on the
    /// order in which requests happen to arrive; by the route otherwise.
    fn roll(&mut self, route: &'static str, asks: &Asks) -> Option<FaultKind> {
        if self.dice.is_idle() {
            return None;
        }
        let named = match asks {
            Asks::Form(params) => {
                params.peek("identifier").or_else(|| params.peek("cancel[identifier]"))
            }
            Asks::Second(read) => read.as_ref().ok().and_then(SecondOperation::named),
        };
        self.dice.roll(&format!("{route}\n{}", named.unwrap_or_default()))
    }

    /// The checks at the door, in Stripe's order as far as it is known.
    fn check_in(
        &mut self,
        admitted: &mut Admitted,
        request: &Request,
        (route, asks): (Route, Asks),
        is_storm: bool,
        now: Timestamp,
    ) -> Result<Work, Refusal> {
        if route == STREAM {
            self.account.sessions.authenticate(request, now)?;
        } else {
            authenticate(&self.account.settings, request)?;
        }
        if is_storm {
            self.counters.count_fault("storm");
            return Err(Refusal::rate_limited(GLOBAL_RATE));
        }
        self.limit(&route, asks.events(), now)?;
        if let Some(reply) = self.fault_at_the_door(admitted.fault) {
            return Ok(Work::Answer(reply));
        }
        asks.check_content_type(request)?;
        let mut fingerprint = [0; 32];
        if let Some(key) = &admitted.key {
            if key.is_empty() || key.chars().count() > KEY_LENGTH_MAX {
                let message = format!("An Idempotency-Key has 1 to {KEY_LENGTH_MAX} characters");
                return Err(Refusal::invalid(message));
            }
            fingerprint = asks.fingerprint(request);
            let replays = matches!(asks, Asks::Form(_));
            let pins = if replays { &mut self.pins } else { &mut self.second_pins };
            match pins.look_up(key, &fingerprint, now) {
                Pinned::Free => {}
                Pinned::Replay(_) if !replays => {}
                Pinned::InUse => return Err(Refusal::key_in_use()),
                Pinned::Other => return Err(Refusal::key_reused(key)),
                Pinned::Replay(reply) => {
                    self.counters.replays += 1;
                    return Ok(Work::Answer(reply));
                }
            }
        }
        let is_second = matches!(asks, Asks::Second(_));
        let operation = match asks {
            Asks::Form(params) => Operation::read(route, params, &request.method, &request.path)?,
            Asks::Second(read) => Operation::Second(read?),
        };
        // Whether the stream keeps to one call of a customer and meter is not said.
        if let Operation::CreateEvent(event)
        | Operation::Second(SecondOperation::CreateEvent(event)) = &operation
        {
            admitted.lane = self.enter_lane(event)?;
        }
        if let Some(key) = &admitted.key {
            let pins = if is_second { &mut self.second_pins } else { &mut self.pins };
            pins.occupy(key, fingerprint);
            admitted.occupies_key = true;
        }
        Ok(Work::Perform(operation))
    }

    fn limit(&mut self, route: &Route, events: usize, now: Timestamp) -> Result<(), Refusal> {
        let (own, count) = if is_single(route) {
            (&mut self.meter_event_limiter, 1)
        } else if *route == STREAM {
            (&mut self.stream_limiter, events.max(1))
        } else {
            (&mut None, 1)
        };
        if let Some(limiter) = own {
            return if limiter.admit_all(count, now) {
                Ok(())
            } else {
                Err(Refusal::rate_limited(ENDPOINT_RATE))
            };
        }
        if self.global_limiter.admit(now) {
            return Ok(());
        }
        Err(Refusal::rate_limited(GLOBAL_RATE))
    }

    /// The answer of a fault that strikes before the request is looked at.
    fn fault_at_the_door(&mut self, fault: Option<FaultKind>) -> Option<Reply> {
        let kind = fault?;
        let reply = match kind {
            FaultKind::ErrorBefore => Refusal::internal().reply(),
            FaultKind::Conflict => Refusal::lane_occupied().reply(),
            FaultKind::RateLimited => Refusal::rate_limited(GLOBAL_RATE).reply(),
            FaultKind::LockTimeout => Refusal::lock_timeout().reply(),
            FaultKind::UnavailableHtml => Reply::unavailable_html(),
            FaultKind::ClosedBefore
            | FaultKind::AnswerLost
            | FaultKind::AnswerCut
            | FaultKind::SlowBefore
            | FaultKind::SlowAfter
            | FaultKind::ErrorAfter
            | FaultKind::PinnedErrorBefore
            | FaultKind::PinnedErrorAfter
            | FaultKind::RejectedLater
            | FaultKind::NoMeterLater => return None,
        };
        self.counters.count_fault(kind.name());
        Some(reply)
    }

    /// Occupies the event's lane. An event without a meter or customer has none and is refused when
    /// it is carried out.
    fn enter_lane(&mut self, event: &NewEvent) -> Result<Option<Lane>, Refusal> {
        let meter = self.account.meters.active(&event.event_name);
        let key = meter.map(|(_, meter)| meter.settings.customer_key.as_str());
        let Some(customer) = key.and_then(|key| event.payload.get(key)) else { return Ok(None) };
        let lane = (customer.clone(), event.event_name.clone());
        if !self.lanes.insert(lane.clone()) {
            return Err(Refusal::lane_occupied());
        }
        Ok(Some(lane))
    }

    /// Does what the request asks for, within the faults that concern the doing; says as well
    /// whether the answer is to be remembered under the request's key.
    ///
    /// A 400 that needed the account or the clock to be found out is remembered as well, as the
    /// documents have it; a client must take a new key after it.
    fn carry_out(
        &mut self,
        operation: &Operation,
        admitted: &Admitted,
        now: Timestamp,
    ) -> (Reply, bool) {
        let fault = admitted.fault.filter(|_| operation.is_write());
        let doom = match fault {
            Some(FaultKind::RejectedLater) => Some(RejectionCode::MeterEventCustomerNotFound),
            Some(FaultKind::NoMeterLater) => Some(RejectionCode::NoMeter),
            Some(_) | None => None,
        };
        let (skips, fails, forgets) = match fault {
            Some(FaultKind::PinnedErrorBefore) => (true, true, false),
            Some(FaultKind::PinnedErrorAfter) => (false, true, false),
            Some(FaultKind::ErrorAfter) => (false, true, true),
            Some(_) | None => (false, false, false),
        };
        let mut reply = Refusal::internal().reply();
        if !skips {
            let (request, key) = (admitted.number, admitted.key.as_deref());
            let performed = self.account.perform(operation, &Asked { request, key, doom }, now);
            for _ in 0..performed.accepted {
                self.counters.count_accepted(now);
            }
            self.counters.duplicates_refused += performed.duplicates;
            if !fails {
                reply = performed.reply;
            }
        }
        if let (true, Some(kind)) = (fails || doom.is_some(), fault) {
            self.counters.count_fault(kind.name());
        }
        (reply, !forgets)
    }
}

impl StandIn for Stripe {
    type Admitted = Admitted;

    fn of(shared: &Shared) -> MutexGuard<'_, Self> {
        shared.stripe()
    }

    fn too_large(now: Timestamp) -> Answer {
        let reply = Refusal::too_large().reply();
        Answer::json(reply.status, reply.body).with("date", http_date(now))
    }

    fn admit(&mut self, request: &Request, now: Timestamp) -> Admission<Admitted> {
        let route = Route::find(&request.method, &request.path);
        let name = route.name();
        self.requests += 1;
        if self.dice.faults.is_outage(now) {
            self.counters.count_fault("outage");
            self.counters.count_request(name, CLOSED);
            return Admission::Refused(Delivery::Closed);
        }
        let asks = Asks::read(&route, request);
        let is_in_reach = self.is_in_reach(&route, request);
        let fault = if is_in_reach { self.roll(name, &asks) } else { None };
        if fault == Some(FaultKind::ClosedBefore) {
            self.counters.count_fault(FaultKind::ClosedBefore.name());
            self.counters.count_request(name, CLOSED);
            return Admission::Refused(Delivery::Closed);
        }
        // Keys mean nothing on reads, and of the stream none are told of.
        let is_post = request.method == hyper::Method::POST
            && !matches!(route, Route::Second(SecondRoute::OpenSession | SecondRoute::Stream));
        let mut admitted = Admitted {
            route: name,
            number: self.requests,
            work: Work::Answer(Refusal::internal().reply()),
            fault,
            lane: None,
            is_second: false,
            key: request.header("idempotency-key").filter(|_| is_post).map(str::to_owned),
            occupies_key: false,
            remembered: None,
            request_id: format!("req_sandbox{:012}", self.requests),
            version: request.header("stripe-version").unwrap_or(VERSION_DEFAULT).to_owned(),
        };
        let is_storm = is_in_reach && self.dice.faults.is_storm(now);
        admitted.is_second = matches!(route, Route::Second(_));
        let work = self.check_in(&mut admitted, request, (route, asks), is_storm, now);
        admitted.work = work.unwrap_or_else(|refusal| {
            let is_v2 = request.path.starts_with("/v2/");
            Work::Answer(if is_v2 { refusal.in_v2() } else { refusal }.reply())
        });
        Admission::Admitted(Box::new(admitted))
    }

    fn is_write(admitted: &Admitted) -> bool {
        match &admitted.work {
            Work::Answer(_) => false,
            Work::Perform(operation) => operation.is_write(),
        }
    }

    fn pace(&self, admitted: &Admitted) -> Pace {
        let latency = self.account.settings.latency;
        let delay = self.dice.faults.slow();
        Pace::of(admitted.fault, delay, Self::is_write(admitted), latency)
    }

    fn execute(&mut self, admitted: &mut Admitted, now: Timestamp) -> Delivery {
        let (reply, is_remembered) = match &admitted.work {
            Work::Answer(reply) => (reply.clone(), false),
            Work::Perform(operation) => self.carry_out(operation, admitted, now),
        };
        if is_remembered && admitted.occupies_key {
            let replay_of = Some(admitted.request_id.clone());
            admitted.remembered = Some((Reply { replay_of, ..reply.clone() }, now));
        }
        let kind = admitted.fault;
        let answer = dress(reply, admitted, now);
        let status = answer.status;
        let delivery = Delivery::under(kind, answer);
        if let Some(kind) = kind.filter(|kind| kind.strikes_the_answer()) {
            self.counters.count_fault(kind.name());
        }
        let is_closed = matches!(delivery, Delivery::Closed);
        self.counters.count_request(admitted.route, if is_closed { CLOSED } else { status });
        delivery
    }

    fn finish(&mut self, admitted: &mut Admitted) {
        if let Some(lane) = &admitted.lane {
            self.lanes.remove(lane);
        }
        let Some(key) = admitted.key.as_ref().filter(|_| admitted.occupies_key) else { return };
        let pins = if admitted.is_second { &mut self.second_pins } else { &mut self.pins };
        match admitted.remembered.take() {
            Some((reply, at)) => pins.pin(key, reply, at),
            None => pins.release(key),
        }
    }
}

fn dress(reply: Reply, admitted: &Admitted, now: Timestamp) -> Answer {
    let mut answer = Answer::json(reply.status, reply.body)
        .with("date", http_date(now))
        .with("request-id", admitted.request_id.as_str());
    answer.content_type = reply.content_type;
    // The page of a proxy: Stripe has not seen the request and adds nothing.
    if reply.content_type != "application/json" {
        return answer;
    }
    answer = answer.with("stripe-version", admitted.version.as_str());
    if let Some(key) = &admitted.key {
        answer = answer.with("idempotency-key", key.as_str());
    }
    if let Some(should_retry) = reply.should_retry {
        answer = answer.with("stripe-should-retry", should_retry.to_string());
    }
    if let Some(reason) = reply.limited {
        answer = answer.with("stripe-rate-limited-reason", reason);
    }
    if let Some(original) = reply.replay_of {
        answer = answer.with("idempotent-replayed", "true").with("original-request", original);
    }
    answer
}
