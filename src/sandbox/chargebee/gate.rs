//! The way in and out. Here: authentication, limits, idempotency keys, locks, injected faults and
//! the headers of answers. Never here: what a request does. Read next: [`super::site`].

use std::collections::HashSet;
use std::sync::MutexGuard;

use super::auth::authenticate;
use super::documents;
use super::form::Params;
use super::ingest;
use super::operation::{Operation, Route};
use super::refusal::{Refusal, Reply};
use super::settings::{Settings, check_pending};
use super::site::Site;
use super::statistics::Busiest;
use crate::domain::time::{MICROS_PER_MINUTE, MICROS_PER_SECOND, Timestamp};
use crate::sandbox::faults::{Dice, FaultKind, Faults, Reach};
use crate::sandbox::handle::Shared;
use crate::sandbox::limiter::Limiter;
use crate::sandbox::pins::{Pinned, Pins};
use crate::sandbox::stand_in::{Admission, Pace, StandIn};
use crate::sandbox::statistics::{CLOSED, Counters};
use crate::sandbox::wire::{Answer, Delivery, Request, http_date};

/// How long an idempotency key replays its answer, in microseconds: Chargebee's own 30 minutes.
const KEY_MICROS: i64 = 30 * MICROS_PER_MINUTE;

/// The longest idempotency key, in characters: Chargebee's own limit.
const KEY_LENGTH_MAX: usize = 100;

/// Requests within a minute, all while it is limited, after which a site is blocked. Chargebee
/// names no number; it flags whoever goes on asking, and then answers no more.
const HAMMERING_MAX: u32 = 50;

/// When an injected refusal of the limiter says to come back, in seconds: short, so that a test by
/// the real clock goes on.
const INJECTED_RETRY_AFTER_SECONDS: i64 = 1;

/// A request past the door.
#[derive(Debug)]
pub(in crate::sandbox) struct Admitted {
    route: &'static str,
    work: Work,
    fault: Option<FaultKind>,
    /// The subscription that it locks.
    lock: Option<String>,
    key: Option<String>,
    /// Whether the key waits for this request's answer.
    occupies_key: bool,
    /// What the key is to remember from when on, once the request is finished.
    remembered: Option<(Reply, Timestamp)>,
}

#[derive(Debug)]
enum Work {
    /// Nothing is to be done: this is the answer.
    Answer(Reply),
    Perform(Operation),
}

/// The stand-in for Chargebee: one site, its door and its counters.
#[derive(Debug)]
pub(in crate::sandbox) struct Chargebee {
    pub(super) site: Site,
    pub(super) limiter: Limiter,
    /// Counts the events that the ingest host takes.
    events_limiter: Limiter,
    /// Counts what is asked while the limiter refuses.
    pub(super) hammering: Limiter,
    pub(super) is_blocked: bool,
    pub(super) asked_while_limited: u64,
    pub(super) busiest: Busiest,
    pub(super) dice: Dice,
    pub(super) counters: Counters,
    pins: Pins<Reply>,
    locks: HashSet<String>,
    /// Requests that are admitted and not finished.
    in_flight: u32,
}

/// Says what is wrong with these faults, if anything is.
pub(super) fn check_faults(faults: &Faults) -> Result<(), String> {
    faults.check()?;
    // Chargebee accepts or refuses at once, and its word for two writes at a time is lock_timeout.
    let without = [FaultKind::Conflict, FaultKind::RejectedLater, FaultKind::NoMeterLater];
    let asked = faults.next.iter().chain(faults.basis_points.keys());
    match asked.into_iter().find(|kind| without.contains(kind)) {
        Some(kind) => Err(format!("{} has no meaning at Chargebee", kind.name())),
        None => Ok(()),
    }
}

impl Chargebee {
    pub(in crate::sandbox) fn new(
        mut settings: Settings,
        now: Timestamp,
    ) -> Result<Self, crate::sandbox::Error> {
        let faults = std::mem::take(&mut settings.faults);
        check_faults(&faults).map_err(crate::sandbox::Error::Faults)?;
        check_pending(settings.pending).map_err(crate::sandbox::Error::Grace)?;
        let item_prices = std::mem::take(&mut settings.item_prices);
        let webhooks = std::mem::take(&mut settings.webhooks);
        webhooks.check().map_err(crate::sandbox::Error::Webhooks)?;
        let (limits, events_per_minute) = (settings.limits, settings.events_per_minute);
        let mut chargebee = Self {
            site: Site::new(settings),
            limiter: Limiter::new(limits.per_minute, MICROS_PER_MINUTE),
            events_limiter: Limiter::new(events_per_minute, MICROS_PER_MINUTE),
            hammering: Limiter::new(Some(HAMMERING_MAX), MICROS_PER_MINUTE),
            is_blocked: false,
            asked_while_limited: 0,
            busiest: Busiest::default(),
            dice: Dice::default(),
            counters: Counters::default(),
            pins: Pins::new(KEY_MICROS),
            locks: HashSet::new(),
            in_flight: 0,
        };
        chargebee.dice.load(faults);
        chargebee.site.webhooks.set(webhooks);
        for new in item_prices {
            let id = new.id.clone();
            let wrong = |refusal: Refusal| {
                let reason = refusal.message().to_owned();
                crate::sandbox::Error::ItemPrice { id, reason }
            };
            chargebee.site.create_item_price(new, now).map_err(wrong)?;
        }
        Ok(chargebee)
    }

    fn is_in_reach(&self, route: &Route, request: &Request) -> bool {
        match self.dice.faults.reach {
            Reach::MeterEvents => matches!(route, Route::CreateUsage(_)) || route.is_of_ingest(),
            Reach::Writes => request.method != hyper::Method::GET,
            Reach::Everything => true,
        }
    }

    /// Draws by the usage's id where there is one, so that the draw does not depend on the order in
    /// which requests happen to arrive; by the route otherwise.
    fn roll(&mut self, route: &Route, params: &Params, request: &Request) -> Option<FaultKind> {
        if self.dice.is_idle() {
            return None;
        }
        let name = if route.is_of_ingest() {
            ingest::weigh(&request.body).1
        } else {
            params.peek("id").unwrap_or_default().to_owned()
        };
        self.dice.roll(&format!("{}\n{name}", route.name()))
    }

    /// The checks at the door; their order is ours, as far as Chargebee's is unconfirmed.
    fn check_in(
        &mut self,
        admitted: &mut Admitted,
        request: &Request,
        route: Route,
        params: Params,
        is_storm: bool,
        now: Timestamp,
    ) -> Result<Work, Refusal> {
        authenticate(&self.site.settings.keys, request)?;
        if route.is_of_ingest() {
            self.limit_events(ingest::weigh(&request.body).0, is_storm, now)?;
        } else {
            self.limit(is_storm, now)?;
        }
        if let Some(reply) = self.fault_at_the_door(admitted.fault) {
            return Ok(Work::Answer(reply));
        }
        check_content_type(request, &route)?;
        let mut fingerprint = [0; 32];
        if let Some(key) = &admitted.key {
            if key.is_empty() || key.chars().count() > KEY_LENGTH_MAX {
                let message = format!("An idempotency key has 1 to {KEY_LENGTH_MAX} characters");
                return Err(Refusal::invalid(message));
            }
            fingerprint = params.fingerprint(request.method.as_str(), &request.path);
            match self.pins.look_up(key, &fingerprint, now) {
                Pinned::Free => {}
                // What a second request gets meanwhile is unconfirmed; it meets the lock anyway.
                Pinned::InUse => return Err(Refusal::lock_timeout()),
                Pinned::Other => return Err(Refusal::key_reused()),
                Pinned::Replay(reply) => {
                    self.counters.replays += 1;
                    return Ok(Work::Answer(reply));
                }
            }
        }
        let operation = Operation::read(route, params, request)?;
        admitted.lock = self.lock(&operation)?;
        if let Some(key) = &admitted.key {
            self.pins.occupy(key, fingerprint);
            admitted.occupies_key = true;
        }
        Ok(Work::Perform(operation))
    }

    /// Two limits: requests within a minute, and requests at once. A refusal by the second says
    /// nothing of when to come back: Chargebee only "may" say so.
    fn limit(&mut self, is_storm: bool, now: Timestamp) -> Result<(), Refusal> {
        if self.is_blocked {
            return Err(Refusal::blocked());
        }
        if is_storm || self.limiter.wait_micros(now) > 0 {
            self.asked_while_limited += 1;
            if !self.hammering.admit(now) {
                self.is_blocked = true;
                return Err(Refusal::blocked());
            }
            if is_storm {
                self.counters.count_fault("storm");
                return Err(Refusal::rate_limited(Some(INJECTED_RETRY_AFTER_SECONDS)));
            }
            let wait = self.limiter.wait_micros(now);
            let seconds = wait.saturating_add(MICROS_PER_SECOND - 1) / MICROS_PER_SECOND;
            return Err(Refusal::rate_limited(Some(seconds.max(1))));
        }
        let most = self.site.settings.limits.concurrent;
        if most.is_some_and(|most| self.in_flight >= most) {
            return Err(Refusal::rate_limited(None));
        }
        self.limiter.admit(now);
        self.busiest.count(now);
        Ok(())
    }

    /// The ingest host counts events. Whoever is refused meanwhile is not blocked there.
    fn limit_events(
        &mut self,
        events: usize,
        is_storm: bool,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.is_blocked {
            return Err(Refusal::blocked());
        }
        if is_storm {
            self.counters.count_fault("storm");
            return Err(Refusal::rate_limited(Some(INJECTED_RETRY_AFTER_SECONDS)));
        }
        let wait = self.events_limiter.wait_for_micros(events, now);
        if wait > 0 {
            let seconds = wait.saturating_add(MICROS_PER_SECOND - 1) / MICROS_PER_SECOND;
            return Err(Refusal::rate_limited(Some(seconds)));
        }
        for _ in 0..events {
            self.events_limiter.admit(now);
        }
        Ok(())
    }

    /// The answer of a fault that strikes before the request is looked at.
    fn fault_at_the_door(&mut self, fault: Option<FaultKind>) -> Option<Reply> {
        let kind = fault?;
        let reply = match kind {
            FaultKind::ErrorBefore => Refusal::internal().reply(),
            FaultKind::RateLimited => {
                Refusal::rate_limited(Some(INJECTED_RETRY_AFTER_SECONDS)).reply()
            }
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
            | FaultKind::Conflict
            | FaultKind::RejectedLater
            | FaultKind::NoMeterLater => return None,
        };
        self.counters.count_fault(kind.name());
        Some(reply)
    }

    /// Locks the subscription that a write is about: a second write of it meanwhile is refused.
    fn lock(&mut self, operation: &Operation) -> Result<Option<String>, Refusal> {
        let Some(subscription) = self.site.subscription_of(operation) else { return Ok(None) };
        if !self.locks.insert(subscription.clone()) {
            return Err(Refusal::lock_timeout());
        }
        Ok(Some(subscription))
    }

    /// Does what the request asks for, within the faults that concern the doing; says as well
    /// whether the answer is to be remembered under the request's key.
    ///
    /// Which answers Chargebee remembers is unconfirmed. Here it is each that was made by looking
    /// at the site, refusals among them; a client must take a new key after one.
    fn carry_out(
        &mut self,
        operation: &Operation,
        fault: Option<FaultKind>,
        now: Timestamp,
    ) -> (Reply, bool) {
        let fault = fault.filter(|_| operation.is_write());
        let (skips, fails, forgets) = match fault {
            Some(FaultKind::PinnedErrorBefore) => (true, true, false),
            Some(FaultKind::PinnedErrorAfter) => (false, true, false),
            Some(FaultKind::ErrorAfter) => (false, true, true),
            Some(_) | None => (false, false, false),
        };
        let mut reply = Refusal::internal().reply();
        if !skips {
            let performed = self.site.perform(operation, now);
            if performed.created {
                self.counters.count_accepted(now);
            }
            if performed.duplicate {
                self.counters.duplicates_refused += 1;
            }
            if !fails {
                reply = performed.reply;
            }
        }
        if let (true, Some(kind)) = (fails, fault) {
            self.counters.count_fault(kind.name());
        }
        (reply, !forgets)
    }
}

impl StandIn for Chargebee {
    type Admitted = Admitted;

    fn of(shared: &Shared) -> MutexGuard<'_, Self> {
        shared.chargebee()
    }

    fn too_large(now: Timestamp) -> Answer {
        dress(Refusal::too_large().reply(), now)
    }

    fn admit(&mut self, request: &Request, now: Timestamp) -> Admission<Admitted> {
        // The host of the files is none of the API's: it has neither its keys nor its limits.
        if let Some(name) = request.path.strip_prefix(documents::PREFIX) {
            let answer = self.site.files.answer(name, request, now);
            self.counters.count_request("GET /downloads/{name}", answer.status);
            return Admission::Refused(Delivery::Whole(answer));
        }
        let route = Route::find(&request.method, &request.path);
        let name = route.name();
        if self.dice.faults.is_outage(now) {
            self.counters.count_fault("outage");
            self.counters.count_request(name, CLOSED);
            return Admission::Refused(Delivery::Closed);
        }
        // What the ingest host takes is no form.
        let form: &[u8] = if route.is_of_ingest() { &[] } else { &request.body };
        let params = Params::parse(request.query.as_bytes(), form);
        let is_in_reach = self.is_in_reach(&route, request);
        let fault = if is_in_reach { self.roll(&route, &params, request) } else { None };
        if fault == Some(FaultKind::ClosedBefore) {
            self.counters.count_fault(FaultKind::ClosedBefore.name());
            self.counters.count_request(name, CLOSED);
            return Admission::Refused(Delivery::Closed);
        }
        // Keys mean nothing on reads, nor to the ingest host.
        let has_keys = request.method == hyper::Method::POST && !route.is_of_ingest();
        let key = request.header("chargebee-idempotency-key").filter(|_| has_keys);
        let mut admitted = Admitted {
            route: name,
            work: Work::Answer(Refusal::internal().reply()),
            fault,
            lock: None,
            key: key.map(str::to_owned),
            occupies_key: false,
            remembered: None,
        };
        let is_storm = is_in_reach && self.dice.faults.is_storm(now);
        let work = self.check_in(&mut admitted, request, route, params, is_storm, now);
        admitted.work = work.unwrap_or_else(|refusal| Work::Answer(refusal.reply()));
        self.in_flight += 1;
        Admission::Admitted(Box::new(admitted))
    }

    fn is_write(admitted: &Admitted) -> bool {
        match &admitted.work {
            Work::Answer(_) => false,
            Work::Perform(operation) => operation.is_write(),
        }
    }

    fn pace(&self, admitted: &Admitted) -> Pace {
        let latency = self.site.settings.latency;
        let slow = self.dice.faults.slow();
        Pace::of(admitted.fault, slow, Self::is_write(admitted), latency)
    }

    fn execute(&mut self, admitted: &mut Admitted, now: Timestamp) -> Delivery {
        let (reply, is_remembered) = match &admitted.work {
            Work::Answer(reply) => (reply.clone(), false),
            Work::Perform(operation) => self.carry_out(operation, admitted.fault, now),
        };
        if is_remembered && admitted.occupies_key {
            admitted.remembered = Some((Reply { is_replay: true, ..reply.clone() }, now));
        }
        let answer = dress(reply, now);
        let status = answer.status;
        let delivery = Delivery::under(admitted.fault, answer);
        if let Some(kind) = admitted.fault.filter(|kind| kind.strikes_the_answer()) {
            self.counters.count_fault(kind.name());
        }
        let is_closed = matches!(delivery, Delivery::Closed);
        self.counters.count_request(admitted.route, if is_closed { CLOSED } else { status });
        delivery
    }

    fn finish(&mut self, admitted: &mut Admitted) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(subscription) = &admitted.lock {
            self.locks.remove(subscription);
        }
        let Some(key) = admitted.key.as_ref().filter(|_| admitted.occupies_key) else { return };
        match admitted.remembered.take() {
            Some((reply, at)) => self.pins.pin(key, reply, at),
            None => self.pins.release(key),
        }
    }
}

/// The API takes forms: a JSON body would parse as one odd parameter, and the message would
/// mislead. The ingest host takes JSON, which is what Chargebee's own clients send.
fn check_content_type(request: &Request, route: &Route) -> Result<(), Refusal> {
    let kind = request.header("content-type").unwrap_or_default();
    let wanted =
        if route.is_of_ingest() { "application/json" } else { "application/x-www-form-urlencoded" };
    if request.body.is_empty() || kind.starts_with(wanted) {
        return Ok(());
    }
    let message = format!("The body must be {wanted}, and is {kind:?}");
    Err(Refusal::invalid(message))
}

fn dress(reply: Reply, now: Timestamp) -> Answer {
    let is_json = reply.is_json();
    let mut answer = Answer::json(reply.status, reply.body).with("date", http_date(now));
    answer.content_type = reply.content_type;
    // The page of a proxy: Chargebee has not seen the request and adds nothing.
    if !is_json {
        return answer;
    }
    if let Some(seconds) = reply.retry_after_seconds {
        answer = answer.with("retry-after", seconds.to_string());
    }
    if reply.is_replay {
        answer = answer.with("chargebee-idempotency-replayed", "true");
    }
    answer
}
