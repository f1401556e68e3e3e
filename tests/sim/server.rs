//! The provider's rules, by a reading of their own. Here: what it counts, what it refuses, what it
//! remembers and for how long. Never here: a network, or code of the program's provider rooms. Read
//! next: [`crate::wire`].

use std::collections::{BTreeMap, BTreeSet};

use crate::amount::Amount;

mod billing;
mod totals;

pub(crate) use billing::{Announcement, Billing, Invoice, Subscription};

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// What a response says, as the provider makes it.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) should_retry: Option<&'static str>,
    pub(crate) limited: Option<&'static str>,
    pub(crate) retry_after: Option<u32>,
}

impl Reply {
    pub(crate) fn of(status: u16, body: String) -> Self {
        Self { status, body, should_retry: None, limited: None, retry_after: None }
    }

    pub(crate) fn error(status: u16, kind: &str, message: &str) -> Self {
        let body = serde_json::json!({ "error": { "type": kind, "message": message } });
        Self::of(status, body.to_string())
    }
}

/// An event that the provider took.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) meter: String,
    pub(crate) account: String,
    pub(crate) value: Amount,
    /// The time that it says the usage was.
    at: i64,
    pub(crate) received_at: i64,
    /// When the provider rejects it after all.
    pub(crate) rejected_at: Option<i64>,
    /// When it was cancelled.
    pub(crate) cancelled_at: Option<i64>,
    /// How much later than what it is told the provider's totals know of it.
    lag: i64,
}

impl Taken {
    /// Whether it stands at `now`: it was not rejected.
    fn stands(&self, now: i64) -> bool {
        self.rejected_at.is_none_or(|at| at > now)
    }

    /// Whether it counts at `now`.
    fn counts(&self, now: i64) -> bool {
        self.stands(now) && self.cancelled_at.is_none_or(|at| at > now)
    }
}

/// What a meter adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adds {
    /// Its events' values.
    Values,
    /// Its events.
    Events,
}

/// A request as it was understood.
#[derive(Clone, Debug)]
struct Understood {
    meter: String,
    account: String,
    identifier: String,
    at: i64,
    value: Amount,
}

/// What a request asks for.
#[derive(Clone, Debug)]
enum Asked {
    Usage(Understood),
    /// That the event of this identifier shall not count.
    Cancel(String),
}

/// A request on its way that nobody waits for.
#[derive(Clone, Debug)]
pub(crate) struct Straggler {
    pub(crate) lands_at: i64,
    pub(crate) body: Vec<u8>,
    pub(crate) key: String,
}

/// The provider.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its clock.
    pub(crate) now: i64,
    /// How long it recognises an identifier: at least a day.
    window: i64,
    /// Its meters, and what each adds up.
    pub(crate) meters: BTreeMap<String, Adds>,
    /// What it took, by identifier; more than one is what must never be.
    pub(crate) taken: BTreeMap<String, Vec<Taken>>,
    /// How far its totals lag behind what it takes now.
    pub(crate) lag: i64,
    /// Events of which it said that it cancelled them, whether or not it did.
    cancels: BTreeSet<String>,
    /// Answers kept under a key: when, to which bytes, and what.
    kept: BTreeMap<String, (i64, Vec<u8>, Reply)>,
    /// Keys under which a failure was answered from what was kept.
    stuck: BTreeSet<String>,
    /// Those of them of which the program has not kept yet that it was answered so.
    unkept: Vec<String>,
    /// The bytes that each identifier first came with.
    first_bytes: BTreeMap<String, Vec<u8>>,
    /// When each identifier was first on its way.
    pub(crate) first_seen: BTreeMap<String, i64>,
    /// Lanes with a request under way.
    busy: BTreeSet<(String, String)>,
    /// Requests that land later.
    pub(crate) stragglers: Vec<Straggler>,
    /// What the program did that it must never do.
    pub(crate) wrongs: Vec<(&'static str, String)>,
    /// How often each rule spoke.
    pub(crate) ruled: BTreeMap<&'static str, u64>,
    /// What it bills.
    pub(crate) billing: Billing,
    /// The lane of each identifier.
    lanes: BTreeMap<String, (String, String)>,
}

impl Server {
    pub(crate) fn new(now: i64, window: i64, meters: &[(&str, Adds)], billing: Billing) -> Self {
        Self {
            now,
            window,
            meters: meters.iter().map(|(meter, adds)| ((*meter).to_owned(), *adds)).collect(),
            taken: BTreeMap::new(),
            lag: 0,
            cancels: BTreeSet::new(),
            kept: BTreeMap::new(),
            stuck: BTreeSet::new(),
            unkept: Vec::new(),
            first_bytes: BTreeMap::new(),
            first_seen: BTreeMap::new(),
            busy: BTreeSet::new(),
            stragglers: Vec::new(),
            wrongs: Vec::new(),
            ruled: BTreeMap::new(),
            billing,
            lanes: BTreeMap::new(),
        }
    }

    fn rule(&mut self, rule: &'static str) {
        *self.ruled.entry(rule).or_default() += 1;
    }

    /// Whether what `identifier` comes to is not certain yet: a request for it is on its way, or it
    /// will be rejected.
    pub(crate) fn may_still_change(&self, identifier: &str) -> bool {
        let about = |body: &[u8]| match understand(body) {
            Some(Asked::Usage(usage)) => usage.identifier == identifier,
            Some(Asked::Cancel(target)) => target == identifier,
            None => false,
        };
        let mut taken = self.taken.get(identifier).into_iter().flatten();
        self.stragglers.iter().any(|straggler| about(&straggler.body))
            || taken.any(|each| each.rejected_at.is_some_and(|at| at > self.now))
    }

    /// Takes note of a request for `name` that left the program, whether or not it arrives; answers
    /// its lane.
    pub(crate) fn leaves(&mut self, name: &str, body: &[u8]) -> (String, String) {
        let lane = match understand(body) {
            Some(Asked::Usage(usage)) => (usage.meter, usage.account),
            Some(Asked::Cancel(target)) => self.lanes.get(&target).cloned().unwrap_or_default(),
            None => {
                self.wrongs.push(("well-formed", "a request that cannot be read".to_owned()));
                return (String::new(), String::new());
            }
        };
        let first = self.first_bytes.entry(name.to_owned()).or_insert_with(|| body.to_vec());
        if first != body {
            let what = format!("{name} was sent with other bytes than before");
            self.wrongs.push(("same-bytes", what));
        }
        self.first_seen.entry(name.to_owned()).or_insert(self.now);
        self.lanes.insert(name.to_owned(), lane.clone());
        if !self.busy.insert(lane.clone()) {
            let what = format!("two requests at once for {} of {}", lane.0, lane.1);
            self.wrongs.push(("one-in-a-lane", what));
        }
        lane
    }

    /// The request of `lane` is over, as far as the program can tell.
    pub(crate) fn is_over(&mut self, lane: &(String, String)) {
        self.busy.remove(lane);
    }

    /// Whoever waited for answers is gone, and what it had not kept is forgotten.
    pub(crate) fn nobody_waits(&mut self) {
        self.busy.clear();
        for key in self.unkept.drain(..) {
            self.stuck.remove(&key);
        }
    }

    /// The answers so far are in the ledger.
    pub(crate) fn answers_are_kept(&mut self) {
        self.unkept.clear();
    }

    /// The ledger is an older one, which knows nothing of the last answers.
    pub(crate) fn answers_are_forgotten(&mut self) {
        self.stuck.clear();
    }

    /// A failure was answered from what was kept under `key`: whoever reads that goes on under
    /// another key, as this one is answered so for a day.
    pub(crate) fn answers_failure_again(&mut self, key: &str) {
        if !self.stuck.insert(key.to_owned()) {
            let what = format!("{key} was used again after it was seen to be kept as failed");
            self.wrongs.push(("new-key", what));
        }
        self.unkept.push(key.to_owned());
    }

    /// Processes a request that arrived. What it says yes to may come to nothing at `rejects_at`.
    pub(crate) fn receive(&mut self, body: &[u8], key: &str, rejects_at: Option<i64>) -> Reply {
        if let Some((kept_at, bytes, reply)) = self.kept.get(key).cloned()
            && self.now < kept_at + DAY
        {
            if bytes != body {
                self.rule("key with other parameters");
                return Reply::error(400, "idempotency_error", "used with other parameters");
            }
            self.rule("answer kept under the key");
            return reply;
        }
        let reply = match understand(body) {
            None => return Reply::error(400, "invalid_request_error", "unreadable"),
            Some(Asked::Usage(usage)) => self.take(usage, rejects_at),
            Some(Asked::Cancel(target)) => self.cancel(&target, rejects_at.is_some()),
        };
        // What is refused is looked at anew under the same key.
        if reply.status == 200 {
            self.keep(key, body, &reply);
        }
        reply
    }

    fn take(&mut self, asked: Understood, rejects_at: Option<i64>) -> Reply {
        if let Some(refusal) = self.refusal(&asked) {
            return refusal;
        }
        let newest = self.taken.get(&asked.identifier).and_then(|taken| taken.last());
        if newest.is_some_and(|newest| self.now < newest.received_at + self.window) {
            self.rule("duplicate identifier");
            let said = format!("An event already exists with identifier {}.", asked.identifier);
            let mut reply = Reply::error(400, "invalid_request_error", &said);
            reply.should_retry = Some("false");
            return reply;
        }
        let value = match self.meters.get(&asked.meter) {
            Some(Adds::Events) => Amount::of(1, 0),
            Some(Adds::Values) | None => asked.value,
        };
        if newest.is_some_and(|newest| newest.counts(self.now))
            && !self.stands_for_another(&asked.meter, &asked.account, value)
        {
            let what = format!("{} is counted a second time", asked.identifier);
            self.wrongs.push(("counted-once", what));
        }
        self.rule("taken");
        let reply = Reply::of(200, event_body(&asked, self.now));
        if let Some(at) = rejects_at {
            self.will_report(&asked.meter, &asked.identifier, at);
        }
        self.taken.entry(asked.identifier).or_default().push(Taken {
            meter: asked.meter,
            account: asked.account,
            value,
            at: asked.at,
            received_at: self.now,
            rejected_at: rejects_at,
            cancelled_at: None,
            lag: self.lag,
        });
        reply
    }

    /// Whether some event of this meter and account was sent, says as much, and does not count. A
    /// total cannot tell such two apart, nor need it: one may stand for the other.
    fn stands_for_another(&self, meter: &str, account: &str, value: Amount) -> bool {
        let of_the_lane = |lane: &(String, String)| lane.0 == meter && lane.1 == account;
        let says = |name: &str| {
            let bytes = self.first_bytes.get(name)?;
            match understand(bytes)? {
                Asked::Usage(usage) => Some(usage.value),
                Asked::Cancel(_) => None,
            }
        };
        let mut lanes = self.lanes.iter().filter(|(_, lane)| of_the_lane(lane));
        lanes.any(|(name, _)| {
            let counts = self
                .taken
                .get(name)
                .is_some_and(|taken| taken.iter().any(|each| each.counts(self.now)));
            !counts && (says(name) == Some(value) || self.counts_events(meter))
        })
    }

    fn counts_events(&self, meter: &str) -> bool {
        self.meters.get(meter) == Some(&Adds::Events)
    }

    fn cancel(&mut self, target: &str, undone: bool) -> Reply {
        let now = self.now;
        let refuse = |message: &str| Reply::error(400, "invalid_request_error", message);
        let Some(taken) = self.taken.get_mut(target).and_then(|taken| taken.last_mut()) else {
            self.rule("cancel of nothing");
            return refuse("No event was found with that identifier.");
        };
        if taken.cancelled_at.is_some() {
            self.rule("cancelled already");
            return refuse("The event was already cancelled.");
        }
        if now >= taken.received_at + DAY {
            self.rule("cancel too late");
            return refuse("The event was received more than 24 hours ago.");
        }
        if undone {
            self.rule("cancelled, and not done");
        } else {
            taken.cancelled_at = Some(now);
            self.rule("cancelled");
        }
        self.cancels.insert(target.to_owned());
        let body = serde_json::json!({
            "object": "billing.meter_event_adjustment",
            "cancel": { "identifier": target },
            "event_name": "-",
            "livemode": false,
            "status": "pending",
            "type": "cancel",
        });
        Reply::of(200, body.to_string())
    }

    /// Keeps `reply` under `key`, as a failure of the provider's own is.
    pub(crate) fn keep(&mut self, key: &str, body: &[u8], reply: &Reply) {
        self.kept.insert(key.to_owned(), (self.now, body.to_vec(), reply.clone()));
    }

    fn refusal(&mut self, asked: &Understood) -> Option<Reply> {
        let refuse = |message: &str| Reply::error(400, "invalid_request_error", message);
        if !self.meters.contains_key(&asked.meter) {
            self.rule("no active meter");
            return Some(refuse("No active meter found for the event name."));
        }
        if asked.at < self.now - 35 * DAY {
            self.rule("too far in the past");
            return Some(refuse("The timestamp is too far in the past."));
        }
        if asked.at > self.now + 5 * MINUTE {
            self.rule("in the future");
            return Some(refuse("The timestamp is too far in the future."));
        }
        if asked.value.digits() > 15 {
            self.rule("too many digits");
            return Some(refuse("The value has too many digits."));
        }
        None
    }

    /// Lets time pass: what lands by then lands, and what turns over does, in their order.
    pub(crate) fn advance(&mut self, to: i64) {
        loop {
            let landings = self.stragglers.iter().enumerate();
            let first = landings.min_by_key(|(_, straggler)| straggler.lands_at);
            let first = first.map(|(place, straggler)| (place, straggler.lands_at));
            let turn = self.next_turn(to);
            match first.filter(|(_, at)| *at <= turn.unwrap_or(to)) {
                Some((place, lands_at)) => {
                    let straggler = self.stragglers.remove(place);
                    self.now = self.now.max(lands_at);
                    self.rule("straggler landed");
                    self.receive(&straggler.body, &straggler.key, None);
                }
                None => match turn {
                    Some(at) => {
                        self.now = self.now.max(at);
                        self.turn();
                    }
                    None => break,
                },
            }
        }
        self.now = self.now.max(to);
    }
}

fn event_body(asked: &Understood, now: i64) -> String {
    serde_json::json!({
        "object": "billing.meter_event",
        "created": now / SECOND,
        "event_name": asked.meter,
        "identifier": asked.identifier,
        "livemode": false,
        "timestamp": asked.at / SECOND,
    })
    .to_string()
}

/// Reads the form of a request.
fn understand(body: &[u8]) -> Option<Asked> {
    let fields: BTreeMap<String, String> = form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let field = |name: &str| fields.get(name).cloned();
    if field("type").as_deref() == Some("cancel") {
        return field("cancel[identifier]").map(Asked::Cancel);
    }
    let at: i64 = field("timestamp")?.parse().ok()?;
    Some(Asked::Usage(Understood {
        meter: field("event_name")?,
        account: field("payload[stripe_customer_id]")?,
        identifier: field("identifier")?,
        at: at * SECOND,
        value: Amount::parse(&field("payload[value]")?)?,
    }))
}
