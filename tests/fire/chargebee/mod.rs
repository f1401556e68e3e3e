//! A Chargebee site, as a run tells it. Here: what is known of it, and the tables of the daemon's
//! config that name it. Never here: the stand-in's process ([`super::provider`]). Read next:
//! [`load`], then [`site`], [`entries`], [`told`], [`billing`].
//!
//! An entry at a site tells many records. So they are compared window by window, and beside that
//! each entry with the ledger's own word on it.

use std::net::SocketAddr;

use super::kind::Facts;
use super::record::Meter;

pub(crate) mod billing;
pub(crate) mod entries;
pub(crate) mod load;
pub(crate) mod site;
pub(crate) mod told;

/// What is known of it. The limiter's own 429 is rare here, as it makes the daemon slower for long;
/// storms of it are made beside.
pub(crate) const FACTS: Facts = Facts {
    name: "chargebee",
    instance: "chargebee.main",
    control: "chargebee/",
    told: "usages",
    meters: &[Meter::Calls, Meter::Tokens, Meter::Bursts],
    // Requests in a minute: those of a live site in the largest plan.
    rate: 3_500,
    faults: &[
        ("answer_lost", 1_000),
        ("answer_cut", 100),
        ("closed_before", 100),
        ("slow_before", 20),
        ("slow_after", 20),
        ("error_before", 100),
        ("error_after", 100),
        ("pinned_error_before", 100),
        ("pinned_error_after", 100),
        ("lock_timeout", 150),
        ("unavailable_html", 100),
        ("rate_limited", 2),
    ],
    slow_millis: 5_500,
    secrets: &[
        // No real site has this key.
        ("FIRE_KEY", "test_tallydUnderFire"),
        ("FIRE_PASSWORD", WEBHOOK_PASSWORD),
    ],
    attempts: &[
        ("attempts to make an entry", "POST /subscriptions/{id}/usages"),
        ("attempts to take an entry away", "POST /subscriptions/{id}/delete_usage"),
        ("looks at one entry", "GET /subscriptions/{id}/usages"),
    ],
    // The end of a term is known before its invoice is seen.
    passing: &["late_for_period"],
    // Entries leave slowly: some have to be there already when daemons are killed and records are
    // corrected.
    records: 20_000,
    life: 4_000,
    stretch: 2,
    corrected_one_in: 8,
    soon: 20_000,
    late_part: 1,
    // A daemon that was killed while it asked for a term's invoice asks again ten minutes later;
    // entries of that term that have to change wait for it.
    hurry_seconds: Some(660),
    still_seconds: 90,
};

/// Who delivers webhooks, and how that is proven.
const WEBHOOK_USER: &str = "tallyd";
const WEBHOOK_PASSWORD: &str = "a-password-of-the-fire-only";
/// How long invoices stay pending, in hours: as a run may take hours, and people wait for days.
const PENDING_HOURS: i64 = 72;

/// The site's table. Ten requests at once are the default; four times as many go here, as many of
/// them wait for nothing.
pub(crate) fn tables(api: SocketAddr, rate: u32) -> String {
    let mut text = format!(
        "[chargebee.main]\nkey = {{ env = \"FIRE_KEY\" }}\nsite = \"fire-test\"\n\
         api = \"http://{api}/api/v2\"\nrate_per_minute = {rate}\nconcurrency = 40\n\
         decimals = 3\ninvoices_close_after_hours = {PENDING_HOURS}\n\
         attempt_timeout_seconds = 5\nbackoff_first_millis = 50\nbackoff_seconds_max = 1\n\
         pause_probe_seconds = 1\nreconcile = \"* * * * *\"\n\
         webhook_user = \"{WEBHOOK_USER}\"\nwebhook_password = {{ env = \"FIRE_PASSWORD\" }}\n"
    );
    for meter in FACTS.meters {
        let name = meter.name();
        text += &format!("[chargebee.main.item_price.{name}]\naggregation = \"sum\"\n");
    }
    text
}

/// The lines of a meter's route. What comes within a route's `settle` is one entry: together with
/// the number of windows ([`load`]) that decides how many entries a second there are.
pub(crate) const fn route(meter: Meter) -> &'static str {
    match meter {
        Meter::Traced | Meter::Counted => "",
        Meter::Calls => "window = \"1h\"\nsettle = \"20s\"",
        Meter::Tokens => "window = \"1d\"\nsettle = \"15s\"",
        // A minute has but sixty seconds for entries, those that were taken away among them: so few
        // records are of each.
        Meter::Bursts => "window = \"1m\"\nsettle = \"5s\"",
    }
}
