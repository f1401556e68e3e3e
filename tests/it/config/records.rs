//! Accounts at Cryptolens: what their routes may be, and that nothing is billed twice by Stripe.

use tallyd::accrual::route::WindowRule;
use tallyd::provider::counting::OnUnknown;

use super::{refused, sound};

/// A config without problems, but for what RecordUsage rests on.
const RECORDED: &str = r#"
[stripe.main]
key = { env = "TEST" }

[cryptolens.main]
token = { env = "TOKEN" }
products = [3349, 3350]

[route.pages]
meter = "pages"
to = "cryptolens.main"
event = "3349"
"#;

#[test]
fn a_route_there_has_no_windows_and_an_unknown_outcome_is_held_unless_said_otherwise() {
    let config = sound(RECORDED);
    assert_eq!(config.routes[0].window, WindowRule::Ever);
    assert_eq!(config.cryptolens[0].provider.on_unknown, OnUnknown::Hold);
    assert!(config.cryptolens[0].provider.livemode);
    let resent = RECORDED.replace("[3349, 3350]", "[3349]\non_unknown = \"resend\"\ntest = true");
    let config = sound(&resent);
    assert_eq!(config.cryptolens[0].provider.on_unknown, OnUnknown::Resend);
    assert!(!config.cryptolens[0].provider.livemode);
}

#[test]
fn who_sets_it_up_is_told_what_it_rests_on() {
    let config = sound(RECORDED);
    let titles: Vec<&str> =
        config.warnings.warnings.iter().map(|warning| warning.title.as_str()).collect();
    assert_eq!(
        titles,
        ["`cryptolens.main` is told by RecordUsage, which needs Stripe's usage records"]
    );
}

#[test]
fn what_no_record_of_usage_can_say_is_refused() {
    for (line, blamed, title) in [
        ("window = \"1h\"", "\"1h\"", "`route.pages.window` has no meaning at `cryptolens.main`"),
        (
            "hold_above = \"5\"",
            "\"5\"",
            "`route.pages.hold_above` has no meaning at `cryptolens.main`",
        ),
        (
            "corrections = \"negative\"",
            "\"negative\"",
            "`route.pages.corrections` is \"negative\", and no such is taken by `cryptolens.main`",
        ),
        (
            "late = \"drop\"",
            "\"drop\"",
            "`route.pages.late` has no meaning, as no bills are followed of `cryptolens.main`",
        ),
        (
            "aggregate = \"max\"",
            "\"max\"",
            "`route.pages.aggregate` is \"max\", and `cryptolens.main` adds up what it is told",
        ),
    ] {
        refused(&format!("{RECORDED}{line}\n"), blamed, title);
    }
    let stranger = RECORDED.replace("\"3349\"", "\"334\"");
    refused(&stranger, "\"334\"", "\"334\" is no product of `cryptolens.main`");
    let nothing = RECORDED.replace("3350", "0");
    refused(&nothing, "0", "`cryptolens.main.products` has 0, which is no product's number");
    let elsewhere = RECORDED.replace("[3349, 3350]", "[3349]\napi = \"https://other.example\"");
    refused(
        &elsewhere,
        "\"https://other.example\"",
        "`cryptolens.main.api` is not Cryptolens' own address",
    );
}

#[test]
fn the_same_records_are_not_billed_by_stripe_and_by_record_usage() {
    let both = format!("{RECORDED}[route.both]\nmeter = \"pages\"\nto = \"stripe.main\"\n");
    let title = "routes `both` and `pages` can bill the same record by Stripe";
    refused(&both, "pages", title);
    sound(&both.replace("[3349, 3350]", "[3349]\nother_stripe = true"));
    // Records that only one of the two takes are billed once.
    let apart = both.replace("event = \"3349\"", "event = \"3349\"\nmatch = { region = \"eu\" }");
    let apart = format!("{apart}match = {{ region = \"us\" }}\n");
    sound(&apart);
}
