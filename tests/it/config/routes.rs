//! Routes: each by itself, against its provider, and against the others.

use tallyd::accrual::route::{AccountRule, Aggregate, WindowRule};
use tallyd::domain::quantity::Quantity;

use super::{SOUND, read, refused, sound, sound_and, warned};

#[test]
fn a_route_to_a_meter_that_keeps_totals_has_just_its_windows() {
    let kept = |span: &str, lines: &str| {
        let meter = format!("[stripe.main.meter.requests]\nspan = \"{span}\"\n[route");
        SOUND.replace("[route", &meter) + lines
    };
    sound(&kept("hour", ""));
    sound(&kept("hour", "window = \"1h\"\naggregate = \"max\"\nlate = \"drop\"\n"));
    sound(&kept("day", "window = \"1d\"\n"));
    let title = "`route.requests.window` is \"1h\", and its meter keeps totals";
    refused(&kept("day", "window = \"1h\"\n"), "\"1h\"", title);
    refused(&kept("day", ""), "requests", title);
    let title = "`route.requests.window` is \"1m\", and its meter keeps totals";
    refused(&kept("hour", "window = \"1m\"\n"), "\"1m\"", title);
    let title = "`route.requests.late` is \"next_period\", and its meter keeps totals";
    refused(&kept("hour", "late = \"next_period\"\n"), "\"next_period\"", title);
}

#[test]
fn a_route_to_a_meter_that_bills_the_last_value_brings_readings_and_has_no_windows() {
    let of = |lines: &str| {
        let meter = "[stripe.main.meter.requests]\nformula = \"last\"\n[route";
        SOUND.replace("[route", meter) + lines
    };
    let route = &sound(&of("aggregate = \"last\"\nlate = \"drop\"\n")).routes[0];
    assert_eq!((&route.aggregate, route.window), (&Aggregate::Last, WindowRule::Period));
    let title = "`route.requests.window` is set, and its meter bills the last value";
    refused(&of("aggregate = \"last\"\nwindow = \"1d\"\n"), "\"1d\"", title);
    let title =
        "`route.requests.late` is \"next_period\", and `route.requests.aggregate` is \"last\"";
    refused(&of("aggregate = \"last\"\nlate = \"next_period\"\n"), "\"next_period\"", title);
    for (line, at) in [
        ("", "requests"),
        ("aggregate = \"sum\"\n", "\"sum\""),
        ("aggregate = \"count\"\n", "\"count\""),
        ("aggregate = \"max\"\n", "\"max\""),
    ] {
        let word = if line.is_empty() { "\"sum\"" } else { at };
        let title =
            format!("`route.requests.aggregate` is {word}, and its meter bills the last value");
        refused(&of(line), at, &title);
    }
    // One gauge is one writer's.
    let second = "[route.second]\nmeter = \"other\"\nevent = \"requests\"\nto = \"stripe.main\"\n\
                  aggregate = \"last\"\n";
    let title = "routes `requests` and `second` say one level";
    refused(&of(&format!("aggregate = \"last\"\n{second}")), "second", title);
    // Where the meter is not declared so, how long a window is decides the bill.
    let problems = read(&(SOUND.to_owned() + "aggregate = \"last\"\n")).expect_err("no window");
    assert!(problems.errors[0].help.contains("declare it with `formula = \"last\"`"));
}

#[test]
fn a_route_that_counts_distinct_values_says_of_what_and_in_which_windows() {
    let of = |lines: &str| SOUND.to_owned() + "aggregate = \"unique\"\n" + lines;
    let by_user = |lines: &str| of(&("unique = \"user\"\n".to_owned() + lines));
    let route = &sound(&by_user("window = \"1d\"\nlate = \"drop\"\n")).routes[0];
    assert_eq!(route.aggregate, Aggregate::Unique("user".to_owned()));
    refused(&of("window = \"1d\"\n"), "requests", "`route.requests.unique` is missing");
    let named = "unique = \"\"\nwindow = \"1d\"\n";
    refused(&of(named), "\"\"", "`route.requests.unique` is \"\"");
    // A value counts once in each window, so that somebody has to say how long one is.
    let title = |window: &str| {
        format!("`route.requests.aggregate` is \"unique\", and `route.requests.window` is {window}")
    };
    refused(&by_user(""), "\"unique\"", &title("not set"));
    refused(&by_user("window = \"record\"\n"), "\"unique\"", &title("\"record\""));
    let late = "window = \"1d\"\nlate = \"next_period\"\n";
    let title =
        "`route.requests.late` is \"next_period\", and `route.requests.aggregate` is \"unique\"";
    refused(&by_user(late), "\"next_period\"", title);
    let title = "`route.requests.unique` is set, and `route.requests.aggregate` is \"sum\"";
    refused(&(SOUND.to_owned() + "unique = \"user\"\n"), "\"user\"", title);
    let scaled = by_user("window = \"1d\"\nscale = 2\n");
    warned(&scaled, "2", "`route.requests.scale` is set, and the route counts values");
}

#[test]
fn distinct_values_go_only_where_windows_are_added_up() {
    let of = |meter: &str, lines: &str| {
        let meter = format!("[stripe.main.meter.requests]\n{meter}\n[route");
        let unique = "aggregate = \"unique\"\nunique = \"user\"\n";
        SOUND.replace("[route", &meter) + unique + lines
    };
    sound(&of("span = \"day\"", "window = \"1d\"\n"));
    let title = "`route.requests.window` is \"1h\", and its meter keeps totals";
    refused(&of("span = \"day\"", "window = \"1h\"\n"), "\"1h\"", title);
    let title = "`route.requests.aggregate` is \"unique\", and its meter bills the last value";
    refused(&of("formula = \"last\"", ""), "\"unique\"", title);
    // Several routes count the values of a window over all of them, and no other way beside that.
    let second = |aggregate: &str| {
        format!(
            "window = \"1d\"\n[route.second]\nmeter = \"other\"\nevent = \"requests\"\n\
             to = \"stripe.main\"\nwindow = \"1d\"\naggregate = {aggregate}\n"
        )
    };
    sound(&of("", &second("\"unique\"\nunique = \"member\"")));
    let title = "routes `requests` and `second` count in different ways for one meter";
    refused(&of("", &second("\"count\"")), "second", title);
    let title = "routes `requests` and `second` say one level";
    refused(&of("", &second("\"max\"")), "second", title);
}

#[test]
fn a_route_says_what_was_typed() {
    let config = sound(
        r#"
[stripe.main]
key = { env = "TEST" }
[route.eu]
meter = "bytes"
match = { region = "eu", tier = "3" }
to = "stripe.main"
event = "gigabytes"
window = "1d"
aggregate = "sum"
scale = "0.000000001"
account = { template = "cus_{customer}" }
settle = "90s"
"#,
    );
    let route = &config.routes[0];
    assert_eq!(route.name.as_str(), "eu");
    assert_eq!(route.meter.as_str(), "bytes");
    assert_eq!(route.matches["region"], "eu");
    assert_eq!(route.matches["tier"], "3");
    assert_eq!(route.provider.as_str(), "stripe.main");
    assert_eq!(route.provider_meter.as_str(), "gigabytes");
    assert_eq!(route.window, WindowRule::Day);
    assert_eq!(route.aggregate, Aggregate::Sum);
    assert_eq!(route.scale, Quantity::parse("0.000000001").unwrap());
    assert_eq!(route.account, AccountRule::Template("cus_{customer}".into()));
    assert_eq!(route.settle_micros, 90_000_000);
}

#[test]
fn a_route_counts_at_the_provider_as_its_meter_unless_it_says_otherwise() {
    let route = &sound(super::SOUND).routes[0];
    assert_eq!(route.provider_meter.as_str(), "requests");
    assert_eq!(route.scale, Quantity::one());
    assert_eq!(route.account, AccountRule::Identity);
    let imported = sound(&sound_and("account = \"imported\""));
    assert_eq!(imported.routes[0].account, AccountRule::Imported);
    let scaled = sound(&sound_and("scale = 1024"));
    assert_eq!(scaled.routes[0].scale, Quantity::from(1024));
}

#[test]
fn a_route_to_an_unknown_provider_is_refused() {
    let text = super::SOUND.replace("\"stripe.main\"", "\"stripe.mian\"");
    let title = "`route.requests.to` names a provider that is not configured: \"stripe.mian\"";
    refused(&text, "\"stripe.mian\"", title);
    let problems = read(&text).expect_err("no such provider");
    assert_eq!(problems.errors[0].help, "did you mean \"stripe.main\"?");
}

#[test]
fn a_route_without_meter_or_provider_is_refused() {
    let text = super::SOUND.replace("meter = \"requests\"", "");
    refused(&text, "requests", "`route.requests.meter` is missing");
    let text = super::SOUND.replace("to = \"stripe.main\"", "");
    refused(&text, "requests", "`route.requests.to` is missing");
}

#[test]
fn a_value_that_a_route_cannot_use_is_refused() {
    for (line, at, title) in [
        ("scale = 0.001", "0.001", "`route.requests.scale` is a floating-point number"),
        ("scale = \"0.0\"", "\"0.0\"", "`route.requests.scale` is zero"),
        ("hold_above = 0", "0", "`route.requests.hold_above` is 0, and has to be above zero"),
        (
            "hold_above = \"much\"",
            "\"much\"",
            "`route.requests.hold_above` is not a decimal number",
        ),
        ("scale = -1", "-1", "`route.requests.scale` is -1, below zero"),
        ("scale = \"1/8\"", "\"1/8\"", "`route.requests.scale` is not a decimal number"),
        ("window = \"2h\"", "\"2h\"", "`route.requests.window` does not know the word \"2h\""),
        (
            "aggregate = \"median\"",
            "\"median\"",
            "`route.requests.aggregate` does not know the word \"median\"",
        ),
        ("settle = \"soon\"", "\"soon\"", "`route.requests.settle` is \"soon\""),
        ("settle = \"8d\"", "\"8d\"", "`route.requests.settle` is \"8d\""),
        (
            "account = \"import\"",
            "\"import\"",
            "`route.requests.account` does not know the word \"import\"",
        ),
        (
            "account = { template = \"cus_1\" }",
            "\"cus_1\"",
            "`route.requests.account.template` has no {customer}",
        ),
        ("account = {}", "{}", "`route.requests.account.template` is missing"),
        ("event = \"\"", "\"\"", "`route.requests.event` is empty"),
        ("event = \"a\\tb\"", "\"a\\tb\"", "`route.requests.event` holds a control character"),
    ] {
        refused(&sound_and(line), at, title);
    }
    let long = format!("\"{}\"", "é".repeat(101));
    let title = "`route.requests.event` is longer than 100 characters";
    refused(&sound_and(&format!("event = {long}")), &long, title);
}

#[test]
fn a_name_that_would_mislead_a_reader_is_refused() {
    let text = super::SOUND.replace("[route.requests]", "[route.\" x\"]");
    refused(&text, "\" x\"", "the route's name starts or ends with white space");
}

#[test]
fn routes_that_can_take_the_same_record_to_the_same_meter_are_refused() {
    let title = "routes `requests` and `again` can take the same record to the same meter";
    let again = "[route.again]\nmeter = \"requests\"\nto = \"stripe.main\"\n";
    refused(&sound_and(again), "again", title);
    refused(&sound_and(&format!("{again}match = {{ region = \"eu\" }}")), "again", title);
    let eu = "match = { region = \"eu\" }\n";
    let tier = sound_and(&format!("{eu}{again}match = {{ tier = \"3\" }}"));
    refused(&tier, "again", title);
    insta::assert_snapshot!(read(&sound_and(again)).expect_err("they collide"), @r#"
    error: routes `requests` and `again` can take the same record to the same meter
     --> /etc/tallyd/tallyd.toml:8:8
      |
    5 | [route.requests]
      |        -------- the earlier route
    ...
    8 | [route.again]
      |        ^^^^^ it would be billed once, and wait here for ever
      |
      = help: give one property another value in each `match`, or another `event`

    /etc/tallyd/tallyd.toml: 1 error, 0 warnings
    "#);
}

#[test]
fn routes_that_part_their_records_or_their_meters_are_taken() {
    let again = "[route.again]\nmeter = \"requests\"\nto = \"stripe.main\"\n";
    for (first, second) in [
        ("match = { region = \"eu\" }", "match = { region = \"us\" }"),
        ("match = { region = \"eu\", a = \"1\" }", "match = { region = \"us\", a = \"1\" }"),
        ("", "event = \"other\""),
    ] {
        sound(&sound_and(&format!("{first}\n{again}{second}")));
    }
}

#[test]
fn a_route_has_to_fit_the_formula_of_its_declared_meter() {
    let counting = "[stripe.main.meter.requests]\nformula = \"count\"\n";
    let window = "`route.requests` sums records up before a meter that counts";
    let text = sound_and(&format!("window = \"1h\"\naggregate = \"count\"\n{counting}"));
    refused(&text, "\"1h\"", window);
    let text = sound_and(&format!("aggregate = \"count\"\n{counting}"));
    refused(&text, "requests", window);
    let aggregate = "`route.requests` sends quantities to a meter that counts";
    let text = sound_and(&format!("window = \"record\"\n{counting}"));
    refused(&text, "requests", aggregate);
    sound(&sound_and(&format!("window = \"record\"\naggregate = \"count\"\n{counting}")));
    sound(&sound_and("window = \"record\"\n[stripe.main.meter.requests]\n"));
}

#[test]
fn a_scale_that_has_no_effect_is_warned_of() {
    let title = "`route.requests.scale` is set, and the route counts records";
    warned(&sound_and("aggregate = \"count\"\nscale = \"7\""), "\"7\"", title);
}
