//! Products at Planship: what their routes may be, and that a person hears of what may be billed
//! twice.

use tallyd::accrual::route::WindowRule;
use tallyd::provider::counting::OnUnknown;
use tallyd::provider::planship::settings::API;

use super::{refused, sound, warned};

/// A config without problems.
const REPORTED: &str = r#"
[stripe.main]
key = { env = "TEST" }

[planship.main]
client_id = "client"
client_secret = { env = "TOKEN" }
product = "demo"
metering_ids = ["api-call", "tokens"]

[route.pages]
meter = "pages"
to = "planship.main"
event = "api-call"
"#;

#[test]
fn a_route_there_has_no_windows_and_an_unknown_outcome_is_held_unless_said_otherwise() {
    let config = sound(REPORTED);
    assert!(config.warnings.warnings.is_empty(), "{}", config.warnings);
    assert_eq!(config.routes[0].window, WindowRule::Ever);
    let product = &config.planship[0].provider;
    assert_eq!((product.api.as_str(), product.on_unknown), (API, OnUnknown::Hold));
    assert!(product.livemode);
    let resent = REPORTED.replace("\"demo\"", "\"demo\"\non_unknown = \"resend\"\ntest = true");
    let product = &sound(&resent).planship[0].provider;
    assert_eq!((product.on_unknown, product.livemode), (OnUnknown::Resend, false));
}

#[test]
fn what_no_report_can_say_is_refused() {
    for (line, blamed, title) in [
        ("window = \"1h\"", "\"1h\"", "`route.pages.window` has no meaning at `planship.main`"),
        (
            "hold_above = \"5\"",
            "\"5\"",
            "`route.pages.hold_above` has no meaning at `planship.main`",
        ),
        (
            "corrections = \"negative\"",
            "\"negative\"",
            "`route.pages.corrections` is \"negative\", and no such is taken by `planship.main`",
        ),
        (
            "late = \"drop\"",
            "\"drop\"",
            "`route.pages.late` has no meaning, as no bills are followed of `planship.main`",
        ),
        (
            "aggregate = \"max\"",
            "\"max\"",
            "`route.pages.aggregate` is \"max\", and `planship.main` adds up what it is told",
        ),
    ] {
        refused(&format!("{REPORTED}{line}\n"), blamed, title);
    }
}

#[test]
fn a_product_that_is_none_is_refused() {
    for (from, to, blamed, title) in [
        (
            "event = \"api-call\"",
            "event = \"api-cal\"",
            "\"api-cal\"",
            "\"api-cal\" is no metering id of `planship.main`",
        ),
        ("\"demo\"", "\"..\"", "\"..\"", "`planship.main.product` is no product's slug"),
        (
            "\"client\"",
            "\"a:b\"",
            "\"a:b\"",
            "`planship.main.client_id` is empty, or holds a colon",
        ),
        (
            "\"demo\"",
            "\"demo\"\napi = \"https://other.example\"",
            "\"https://other.example\"",
            "`planship.main.api` is not Planship's own address",
        ),
    ] {
        refused(&REPORTED.replace(from, to), blamed, title);
    }
}

#[test]
fn the_same_records_at_stripe_and_at_planship_are_warned_of() {
    let both = format!("{REPORTED}[route.both]\nmeter = \"pages\"\nto = \"stripe.main\"\n");
    let title = "routes `both` and `pages` can tell the same record to Stripe and to Planship";
    warned(&both, "pages", title);
    // Records that only one of the two takes are billed once.
    let eu = "event = \"api-call\"\nmatch = { region = \"eu\" }";
    let apart = both.replace("event = \"api-call\"", eu);
    let apart = sound(&format!("{apart}match = {{ region = \"us\" }}\n"));
    assert!(apart.warnings.warnings.is_empty(), "{}", apart.warnings);
}

#[test]
fn simulated_time_comes_near_no_real_organization() {
    let text = format!("{REPORTED}[clock]\nfollow = \"http://127.0.0.1:8485\"\n");
    let text = text.replace("[stripe.main]\nkey = { env = \"TEST\" }\n", "");
    let title = "`clock.follow` is set, and `planship.main` is told at Planship itself";
    refused(&text, "\"http://127.0.0.1:8485\"", title);
    sound(&text.replace("\"demo\"", "\"demo\"\napi = \"http://127.0.0.1:8488\""));
}
