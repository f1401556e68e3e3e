//! Faults on purpose. Here: the kinds of fault, their rates, and the seeded draw. Never here: what
//! a fault does to a request; each stand-in does that. Read next: [`crate::sandbox::stripe`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::time::Timestamp;

/// A rate of one: every request is hit. Rates are whole basis points, so no float decides anything.
pub const BASIS_POINTS_MAX: u32 = 10_000;

/// The longest answer delay, in milliseconds. It is longer than any sensible client timeout, and
/// short enough that a forgotten setting cannot keep a stopped process alive.
pub const SLOW_MILLIS_MAX: u64 = 120_000;

/// Scripted faults that may wait at once. A script is written by a person or a test; more than this
/// is a runaway loop.
pub const NEXT_FAULTS_MAX: usize = 100_000;

/// Names whose attempts are counted at once. Past it the counting starts afresh, which only means
/// that an old name's draws repeat; at 16 bytes each the table stays below 32 MiB.
const COUNTED_NAMES_MAX: usize = 1_000_000;

/// What can be made to go wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The connection is closed before anything is done with the request.
    ClosedBefore,
    /// The request is carried out, and the connection is closed without an answer.
    AnswerLost,
    /// The request is carried out, and the connection breaks in the middle of the answer's body.
    AnswerCut,
    /// The request waits before it is carried out, even if the client has gone: it lands late.
    SlowBefore,
    /// The request is carried out at once and answered late.
    SlowAfter,
    /// 500; nothing was done, and the idempotency key remembers nothing.
    ErrorBefore,
    /// 500; the request was carried out, and the idempotency key remembers nothing.
    ErrorAfter,
    /// 500; nothing was done, and the idempotency key replays the 500.
    PinnedErrorBefore,
    /// 500; the request was carried out, and the idempotency key replays the 500.
    PinnedErrorAfter,
    /// 409, as if another call for the same customer and meter were in flight.
    Conflict,
    /// 429 from the limiter, with its reason header.
    RateLimited,
    /// 429 with `code: lock_timeout` and no reason header: not the limiter.
    LockTimeout,
    /// 503 with an HTML body, as a proxy in between would answer.
    UnavailableHtml,
    /// A meter event is accepted with 200 and rejected later, never to be counted.
    RejectedLater,
    /// A meter event is accepted with 200 and rejected later as one of no meter.
    NoMeterLater,
}

impl FaultKind {
    /// Every kind, in the order in which they are drawn: the first that hits is the one injected.
    pub const ALL: [Self; 15] = [
        Self::ClosedBefore,
        Self::AnswerLost,
        Self::AnswerCut,
        Self::SlowBefore,
        Self::SlowAfter,
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::PinnedErrorBefore,
        Self::PinnedErrorAfter,
        Self::Conflict,
        Self::RateLimited,
        Self::LockTimeout,
        Self::UnavailableHtml,
        Self::RejectedLater,
        Self::NoMeterLater,
    ];

    /// Whether it strikes what was answered, and nothing before that.
    #[must_use]
    pub const fn strikes_the_answer(self) -> bool {
        match self {
            Self::AnswerLost | Self::AnswerCut | Self::SlowBefore | Self::SlowAfter => true,
            Self::ClosedBefore
            | Self::ErrorBefore
            | Self::ErrorAfter
            | Self::PinnedErrorBefore
            | Self::PinnedErrorAfter
            | Self::Conflict
            | Self::RateLimited
            | Self::LockTimeout
            | Self::UnavailableHtml
            | Self::RejectedLater
            | Self::NoMeterLater => false,
        }
    }

    /// The kind's name on the wire and in the draw. The draw depends on it, so renaming a kind
    /// changes what a seed means.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClosedBefore => "closed_before",
            Self::AnswerLost => "answer_lost",
            Self::AnswerCut => "answer_cut",
            Self::SlowBefore => "slow_before",
            Self::SlowAfter => "slow_after",
            Self::ErrorBefore => "error_before",
            Self::ErrorAfter => "error_after",
            Self::PinnedErrorBefore => "pinned_error_before",
            Self::PinnedErrorAfter => "pinned_error_after",
            Self::Conflict => "conflict",
            Self::RateLimited => "rate_limited",
            Self::LockTimeout => "lock_timeout",
            Self::UnavailableHtml => "unavailable_html",
            Self::RejectedLater => "rejected_later",
            Self::NoMeterLater => "no_meter_later",
        }
    }
}

/// Which requests faults may hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Only the calls that bill, `POST /v1/billing/meter_events`, `POST …/usages` and the like. The
    /// default.
    #[default]
    MeterEvents,
    /// Every request that may change something.
    Writes,
    /// Every request but those to the sandbox's own control paths.
    Everything,
}

/// A span of the sandbox's clock, `[from, until)`, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The first second inside.
    pub from: i64,
    /// The first second after it.
    pub until: i64,
}

/// What should go wrong, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// The seed of every draw. The same seed, rates and requests give the same faults, in whatever
    /// order requests with an identifier arrive.
    pub seed: u64,
    /// How often each kind happens, in basis points (10,000 = always). Absent kinds never happen.
    pub basis_points: BTreeMap<FaultKind, u32>,
    /// Faults for the next requests in reach, one each, before any is drawn.
    pub next: VecDeque<FaultKind>,
    /// Which requests may be hit.
    pub reach: Reach,
    /// How long the slow kinds wait, in milliseconds of real time.
    pub slow_millis: u64,
    /// Until this Unix second of the sandbox's clock every connection is closed at once.
    pub outage_until: Option<i64>,
    /// While the sandbox's clock is inside, the limiter refuses every request in reach.
    pub storm: Option<Span>,
}

impl Faults {
    /// Says what is wrong with these settings, if anything is.
    ///
    /// # Errors
    /// A rate above 10,000 basis points, a delay or a script that is too long.
    pub fn check(&self) -> Result<(), String> {
        for (kind, rate) in &self.basis_points {
            if *rate > BASIS_POINTS_MAX {
                return Err(format!(
                    "basis_points.{} is {rate}, and {BASIS_POINTS_MAX} is always",
                    kind.name()
                ));
            }
        }
        if self.slow_millis > SLOW_MILLIS_MAX {
            let slow = self.slow_millis;
            return Err(format!("slow_millis is {slow}, and the most is {SLOW_MILLIS_MAX}"));
        }
        if self.next.len() > NEXT_FAULTS_MAX {
            return Err(format!("next holds more than {NEXT_FAULTS_MAX} faults"));
        }
        Ok(())
    }

    /// The same at a stand-in that only counts what it is told: it knows no keys, locks nothing,
    /// and says its yes or no at once, so that some kinds have no meaning there.
    pub(super) fn check_of_counting(&self, provider: &str) -> Result<(), String> {
        self.check()?;
        let without = [
            FaultKind::PinnedErrorBefore,
            FaultKind::PinnedErrorAfter,
            FaultKind::Conflict,
            FaultKind::LockTimeout,
            FaultKind::RejectedLater,
            FaultKind::NoMeterLater,
        ];
        let asked = self.next.iter().chain(self.basis_points.keys());
        match asked.into_iter().find(|kind| without.contains(kind)) {
            Some(kind) => Err(format!("{} has no meaning at {provider}", kind.name())),
            None => Ok(()),
        }
    }

    /// How long the slow kinds wait.
    pub(super) const fn slow(&self) -> Duration {
        Duration::from_millis(self.slow_millis)
    }

    /// Whether every connection is closed at `now`.
    pub(super) fn is_outage(&self, now: Timestamp) -> bool {
        self.outage_until.is_some_and(|until| now < Timestamp::from_seconds(until))
    }

    /// Whether the limiter refuses everything at `now`.
    pub(super) fn is_storm(&self, now: Timestamp) -> bool {
        self.storm.is_some_and(|storm| {
            Timestamp::from_seconds(storm.from) <= now && now < Timestamp::from_seconds(storm.until)
        })
    }

    fn hits(&self, kind: FaultKind, subject: &str, attempt: u64) -> bool {
        let Some(rate) = self.basis_points.get(&kind) else { return false };
        *rate > 0 && draw(self.seed, kind.name(), subject, attempt) < *rate
    }
}

/// Faults as they are carried out: the settings and the count of each name's attempts.
#[derive(Debug, Default)]
pub(super) struct Dice {
    pub(super) faults: Faults,
    attempts: HashMap<u64, u64>,
    /// Fixed keys, unlike a map's usual hasher: two runs count alike.
    hasher: BuildHasherDefault<DefaultHasher>,
}

impl Dice {
    /// Takes new settings and forgets all attempts, so that a seed starts afresh.
    pub(super) fn load(&mut self, faults: Faults) {
        self.faults = faults;
        self.attempts.clear();
    }

    /// Whether no request can be hit, so that nothing needs to be named or counted.
    pub(super) fn is_idle(&self) -> bool {
        self.faults.next.is_empty() && self.faults.basis_points.is_empty()
    }

    /// The fault for the next request called `subject`: the scripted one, else the first drawn.
    pub(super) fn roll(&mut self, subject: &str) -> Option<FaultKind> {
        if self.is_idle() {
            return None;
        }
        let attempt = self.count_attempt(subject);
        if let Some(scripted) = self.faults.next.pop_front() {
            return Some(scripted);
        }
        FaultKind::ALL.into_iter().find(|kind| self.faults.hits(*kind, subject, attempt))
    }

    fn count_attempt(&mut self, subject: &str) -> u64 {
        // Only the name's hash is kept: a collision merges two names' counts and nothing else.
        let name = self.hasher.hash_one(subject);
        if self.attempts.len() >= COUNTED_NAMES_MAX && !self.attempts.contains_key(&name) {
            self.attempts.clear();
        }
        let attempt = self.attempts.entry(name).or_insert(0);
        *attempt = attempt.saturating_add(1);
        *attempt
    }
}

/// A number below [`BASIS_POINTS_MAX`] that depends on nothing but its arguments.
pub(super) fn draw(seed: u64, name: &str, subject: &str, attempt: u64) -> u32 {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    // A zero byte cannot occur in a fault's name, so the fields cannot run into one another.
    hash.update(name.as_bytes());
    hash.update([0]);
    hash.update(attempt.to_be_bytes());
    hash.update(subject.as_bytes());
    let digest = hash.finalize();
    let head = digest.iter().take(4).fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    head % BASIS_POINTS_MAX
}
