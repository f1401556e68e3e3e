//! The provider's rules, by a reading of their own. Here: what it remembers and for how long, and
//! what comes in when. Never here: a network, or code of the program's provider rooms. Read next:
//! [`events`], [`entries`] and [`records`], which are three providers' rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::amount::Amount;

mod billing;
mod entries;
mod events;
mod foreign;
mod keeps;
mod records;
mod reports;
mod totals;

pub(crate) use billing::{Announcement, Billing, Invoice, Subscription};
pub(crate) use entries::DECIMALS;
pub(crate) use foreign::{Foreign, Takeover};
pub(crate) use keeps::{Counter, Keeps, Saying};

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
    /// Its place among all that was received.
    order: u64,
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
    /// Its events' values, each of which says how many distinct values a window has.
    Distinct,
    /// Its events.
    Events,
    /// Nothing: the newest of a period's is what it bills.
    Newest,
    /// Nothing: the largest of a period's is what it bills.
    Largest,
    /// Nothing: of a period's events the newest by its time is what it bills.
    Gauge,
    /// Of each span of so many microseconds, as UTC has them, the value that it received last.
    Totals(i64),
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
    /// What it keeps of usage, and with that whose rules it has.
    pub(crate) keeps: Keeps,
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
    /// The place of each identifier among all, by when it was first on its way.
    first_left: BTreeMap<String, usize>,
    /// How many events it took.
    received: u64,
    /// Whether whoever tells it forgot some of what it told.
    forgotten: bool,
    /// Lanes with a request under way.
    busy: BTreeSet<(String, String)>,
    /// Requests that land later.
    pub(crate) stragglers: Vec<Straggler>,
    /// What the program did that it must never do.
    pub(crate) wrongs: Vec<(&'static str, String)>,
    /// How often each rule spoke.
    pub(crate) ruled: BTreeMap<&'static str, u64>,
    /// Entries that an account takes in its life.
    pub(crate) entries_max: usize,
    /// What it bills.
    pub(crate) billing: Billing,
    /// The lane of each identifier.
    lanes: BTreeMap<String, (String, String)>,
    /// Who told it before.
    pub(crate) foreign: Foreign,
}

impl Server {
    pub(crate) fn new(
        keeps: Keeps,
        now: i64,
        window: i64,
        meters: &[(&str, Adds)],
        billing: Billing,
    ) -> Self {
        Self {
            now,
            keeps,
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
            first_left: BTreeMap::new(),
            received: 0,
            forgotten: false,
            busy: BTreeSet::new(),
            stragglers: Vec::new(),
            wrongs: Vec::new(),
            ruled: BTreeMap::new(),
            entries_max: usize::MAX,
            billing,
            lanes: BTreeMap::new(),
            foreign: Foreign::default(),
        }
    }

    fn rule(&mut self, rule: &'static str) {
        *self.ruled.entry(rule).or_default() += 1;
    }

    /// The place of what is taken now among all that was.
    fn received(&mut self) -> u64 {
        self.received += 1;
        self.received
    }

    /// Whether what `identifier` comes to is not certain yet: a request for it is on its way, or it
    /// will be rejected.
    pub(crate) fn may_still_change(&self, identifier: &str) -> bool {
        let about = |body: &[u8]| match self.keeps.understand(body) {
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
        let asked = self.keeps.understand(body);
        self.watch_takeover(name, asked.as_ref());
        let lane = match asked {
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
        let left = self.first_left.len();
        self.first_left.entry(name.to_owned()).or_insert(left);
        self.lanes.insert(name.to_owned(), lane.clone());
        let one = self.keeps.one_at_a_time(lane);
        if !self.busy.insert(one.clone()) {
            let what = format!("two requests at once for {} of {}", one.0, one.1);
            self.wrongs.push(("one-in-a-lane", what));
        }
        one
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
        self.forgotten = true;
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
        if self.keeps.streams(body) {
            // No key goes along.
            return match self.keeps.understand(body) {
                Some(Asked::Usage(usage)) => self.stream(usage, rejects_at),
                Some(Asked::Cancel(_)) | None => self.keeps.says(Saying::Unreadable),
            };
        }
        if let Some((kept_at, bytes, reply)) = self.kept.get(key).cloned()
            && self.now < kept_at + self.keeps.keeps_keys_for()
        {
            if bytes != body {
                self.rule("key with other parameters");
                return self.keeps.says(Saying::OtherParameters);
            }
            self.rule("answer kept under the key");
            return reply;
        }
        let reply = match (self.keeps, self.keeps.understand(body)) {
            (_, None) => return self.keeps.says(Saying::Unreadable),
            (Keeps::Events, Some(Asked::Usage(usage))) => self.take(usage, rejects_at),
            (Keeps::Events, Some(Asked::Cancel(target))) => {
                self.cancel(&target, rejects_at.is_some())
            }
            (Keeps::Entries, Some(Asked::Usage(usage))) => self.enter(usage),
            (Keeps::Entries, Some(Asked::Cancel(target))) => self.delete(&target),
            (Keeps::Counts(_), Some(Asked::Usage(usage))) => return self.record(usage),
            (Keeps::Counts(_), Some(Asked::Cancel(_))) => {
                return self.keeps.says(Saying::Unreadable);
            }
        };
        // What is refused is looked at anew under the same key.
        if reply.status == 200 {
            self.keep(key, body, &reply);
        }
        reply
    }

    /// Keeps `reply` under `key`, as a failure of the provider's own is.
    pub(crate) fn keep(&mut self, key: &str, body: &[u8], reply: &Reply) {
        if self.keeps.streams(body) || self.keeps.only_counts() {
            return;
        }
        self.kept.insert(key.to_owned(), (self.now, body.to_vec(), reply.clone()));
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

/// The fields of a form.
fn fields(body: &[u8]) -> BTreeMap<String, String> {
    let pairs = form_urlencoded::parse(body);
    pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}
