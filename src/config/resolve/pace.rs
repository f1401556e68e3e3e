//! What is set alike for every provider. PURE. Here: its name, how it is delivered to, and when it
//! is reported on. Never here: what only one kind of provider has (see `account`, `site`). Read
//! next: `account`.

use toml::Spanned;

use crate::config::Reports;
use crate::config::field::{Table, Whole, name, schedule, word, zone};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::raw::Key;
use crate::delivery::{self, Rate};
use crate::domain::names::ProviderName;
use crate::reconcile::Heal;
use crate::schedule::{Schedule, Zone};

/// What a report by the schedule does about differences, in the words of the file.
const HEALS: [(&str, Heal); 2] = [("none", Heal::None), ("low", Heal::Low)];

/// Most requests at once: each holds a connection and a place in memory.
const CONCURRENCY_MAX: i64 = 1_024;
/// Shortest attempt, in seconds: it has to hold a margin and a request.
const ATTEMPT_SECONDS_MIN: i64 = 2;
/// Longest attempt, in seconds: the customer's other usage for the meter waits meanwhile.
const ATTEMPT_SECONDS_MAX: i64 = 120;
/// Longest first wait, in milliseconds: ten minutes.
const BACKOFF_FIRST_MILLIS_MAX: i64 = 600_000;
/// Longest wait between two attempts, in seconds: an hour, so that an unknown answer is cleared
/// many times over while the provider still recognises the identifier.
const BACKOFF_SECONDS_MAX: i64 = 3_600;
/// Longest time that a paused provider is left alone, in seconds: an hour, as its events have
/// deadlines that do not wait for it.
const PAUSE_PROBE_SECONDS_MAX: i64 = 3_600;

/// The keys of a provider's table that every kind has.
pub(super) struct Pace<'a> {
    /// Requests at once, and how many where the operator set none.
    pub(super) concurrency: (&'a Key<i64>, u32),
    /// How long an attempt may take.
    pub(super) attempt_timeout_seconds: &'a Key<i64>,
    /// The first wait after a failure.
    pub(super) backoff_first_millis: &'a Key<i64>,
    /// The longest wait.
    pub(super) backoff_seconds_max: &'a Key<i64>,
    /// How long a paused provider is left alone.
    pub(super) pause_probe_seconds: &'a Key<i64>,
    /// Whose clocks its schedules are read by.
    pub(super) zone: &'a Key<String>,
    /// When what is due is told.
    pub(super) flush: &'a Key<String>,
    /// When reports are made.
    pub(super) reconcile: &'a Key<String>,
    /// What they do about differences.
    pub(super) heal: &'a Key<String>,
}

/// The table of a provider that is called `key`, and the provider's name; nothing, and a problem,
/// where it cannot be a name. `what` says what is called so.
pub(super) fn named(
    kind: &str,
    what: &str,
    key: &Spanned<String>,
    found: &mut Findings,
) -> Option<(Table, ProviderName)> {
    let table = Table { path: format!("{kind}{}", key.get_ref()), span: key.span() };
    let own = name(what, &table.path, key.span(), ProviderName::new, found)?;
    Some((table, own))
}

impl Pace<'_> {
    /// How `provider` is delivered to, at `rate`.
    pub(super) fn delivery(
        &self,
        table: &Table,
        (provider, rate): (ProviderName, Rate),
        free_bytes_min: u64,
        found: &mut Findings,
    ) -> delivery::Settings {
        let bound =
            |key: &str, least, most, otherwise| Whole::new(table.key(key), least, most, otherwise);
        let (concurrency, otherwise) = self.concurrency;
        let concurrency =
            bound("concurrency", 1, CONCURRENCY_MAX, "nothing would be sent, or too much at once")
                .read(concurrency, otherwise, found);
        let attempt = bound(
            "attempt_timeout_seconds",
            ATTEMPT_SECONDS_MIN,
            ATTEMPT_SECONDS_MAX,
            "every answer would be missed, or one lost answer hold up its customer",
        )
        .read(self.attempt_timeout_seconds, delivery::ATTEMPT_TIMEOUT_SECONDS, found);
        let first = bound(
            "backoff_first_millis",
            10,
            BACKOFF_FIRST_MILLIS_MAX,
            "a failing provider would be hammered, or left alone for too long",
        )
        .read(self.backoff_first_millis, delivery::BACKOFF_FIRST_MILLIS, found);
        let most = bound(
            "backoff_seconds_max",
            1,
            BACKOFF_SECONDS_MAX,
            "a failing provider would be hammered, or an unknown answer outlive its dedupe window",
        )
        .read(self.backoff_seconds_max, delivery::BACKOFF_SECONDS_MAX, found);
        self.check_backoff(table, first, most, found);
        let probe = bound(
            "pause_probe_seconds",
            1,
            PAUSE_PROBE_SECONDS_MAX,
            "the provider's ration of readings would be spent, or its return be overlooked",
        )
        .read(self.pause_probe_seconds, delivery::PAUSE_PROBE_SECONDS, found);
        delivery::Settings {
            provider,
            rate,
            batched_rate: None,
            limited_pause_seconds: delivery::LIMITED_PAUSE_SECONDS,
            concurrency,
            attempt_timeout_millis: attempt.saturating_mul(1_000),
            backoff_first_millis: first,
            backoff_seconds_max: most,
            pause_probe_seconds: probe,
            // Where intake goes on with less, delivery does too: it was meant to be so.
            free_bytes_min: delivery::FREE_BYTES_MIN.min(free_bytes_min),
        }
    }

    fn check_backoff(&self, table: &Table, first: u32, most: u32, found: &mut Findings) {
        let place = self.backoff_first_millis.as_ref().or(self.backoff_seconds_max.as_ref());
        if u64::from(first) > u64::from(most) * 1_000
            && let Some(place) = place
        {
            let title = format!("`{}` waits longer first than at most", table.path);
            let label = format!("the first wait is {first} ms, and the longest {most} s");
            let help = format!("set `backoff_first_millis` to at most {}", u64::from(most) * 1_000);
            found.error(Problem::at(place.span(), title).label(label).help(help));
        }
    }

    /// When what is due is told, and reports are made by themselves.
    pub(super) fn schedules(
        &self,
        table: &Table,
        found: &mut Findings,
    ) -> (Option<Schedule>, Option<Reports>) {
        let zone = zone(&table.key("zone"), self.zone, found);
        let meant = "usage would be told at another time than meant, or never";
        let flush = self.flush.as_ref().and_then(|field| {
            schedule(&table.key("flush"), (field, zone), meant, "0 6 * *", found)
        });
        (flush, self.reports(table, zone, found))
    }

    /// When reports are made by themselves, and what they do then. What heals without a time to do
    /// it at would never heal.
    fn reports(&self, table: &Table, zone: Zone, found: &mut Findings) -> Option<Reports> {
        let (when, path) = (table.key("reconcile"), table.key("heal"));
        let heal = word(&path, self.heal, &HEALS, Heal::default(), found);
        let Some(field) = self.reconcile else {
            if let (Heal::Low, Some(heal)) = (heal, self.heal) {
                let title = format!("`{path}` is \"low\", and there is no `{when}`");
                let label = "no report would be made that could heal anything";
                let help = "set `reconcile` to when reports are made, such as \"15 4 * * *\"";
                found.error(Problem::at(heal.span(), title).label(label).help(help));
            }
            return None;
        };
        let meant = "reports would be made at another time than meant, or never";
        let schedule = schedule(&when, (field, zone), meant, "15 4 * *", found)?;
        Some(Reports { schedule, heal })
    }
}
