//! The config file at its edge: text in, settings or drawn problems out.

use std::path::Path;

use tallyd::config::{Config, Outside, Overrides, Problems, SecretPolicy, load_text};

mod change;
mod channel;
mod clock;
mod cutover;
mod events;
mod example;
mod levers;
mod records;
mod reports;
mod refusals;
mod routes;
mod secrets;
mod silence;
mod sites;
mod spools;
mod values;

/// A key of each kind, none of them anybody's. They are put together here, so that no scanner takes
/// this file for a leak.
const LIVE_KEY: &str = concat!("rk_", "live_", "51canaryLive");
const TEST_KEY: &str = concat!("sk_", "test_", "51canaryTest");
const TOKEN: &str = "canary-token-0123456789";
const WEBHOOK: &str = concat!("wh", "sec_", "canary0123456789");

/// The environment that the tests' configs refer to.
fn environment(name: &str) -> Option<String> {
    let value = match name {
        "LIVE" => LIVE_KEY,
        "TEST" | "STRIPE_KEY" => TEST_KEY,
        "TOKEN" | "TALLYD_TOKEN" => TOKEN,
        "WEBHOOK" | "STRIPE_WEBHOOK_SECRET" => WEBHOOK,
        "ROLLED" => concat!("wh", "sec_", "canaryRolled0123456789"),
        "GUESSED" => concat!("wh", "sec_", "canary012345678"),
        "SHORT" => "123456789012345",
        "EMPTY" => "",
        "PUBLISHABLE" => "pk_canary",
        "SITE" => "a_canary_of_a_site",
        "SITE_LIVE" => concat!("live", "_canary"),
        "SITE_TEST" => concat!("test", "_canary"),
        "BLANK" => "two words and a canary",
        _ => return None,
    };
    Some(value.to_owned())
}

fn outside() -> Outside<'static> {
    Outside { overrides: Overrides::default(), environment: &environment }
}

fn read(text: &str) -> Result<Config, Problems> {
    load_text(text, Path::new("/etc/tallyd/tallyd.toml"), &outside(), SecretPolicy::Resolve)
}

/// A config without problems, as text: an account and a route.
const SOUND: &str = r#"
[stripe.main]
key = { env = "TEST" }

[route.requests]
meter = "requests"
to = "stripe.main"
"#;

/// [`SOUND`] with lines put behind its last table, which is the route.
fn sound_and(more: &str) -> String {
    format!("{SOUND}{more}")
}

fn sound(text: &str) -> Config {
    read(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

/// `text` is refused for one reason only, at the part of it that says `at`; and the problem says
/// what would happen and what to do.
fn refused(text: &str, at: &str, title: &str) {
    let problems = read(text).map(|_| "a config").expect_err(text);
    let titles: Vec<&str> = problems.errors.iter().map(|each| each.title.as_str()).collect();
    assert_eq!(titles, [title], "{text}");
    judge(text, &problems.errors[0], at);
}

/// `text` is taken, with one warning at the part of it that says `at`.
fn warned(text: &str, at: &str, title: &str) {
    let config = sound(text);
    let titles: Vec<&str> =
        config.warnings.warnings.iter().map(|each| each.title.as_str()).collect();
    assert_eq!(titles, [title], "{text}");
    judge(text, &config.warnings.warnings[0], at);
}

fn judge(text: &str, problem: &tallyd::config::Problem, at: &str) {
    let place = problem.span.clone().map_or("", |span| &text[span]);
    assert_eq!(place, at, "{text}");
    assert!(!problem.label.is_empty(), "{problem:?} does not say what would happen");
    assert!(!problem.help.is_empty(), "{problem:?} does not say what to do");
}

#[test]
fn an_empty_file_is_a_config_with_warnings() {
    let config = sound("");
    let titles: Vec<&str> =
        config.warnings.warnings.iter().map(|each| each.title.as_str()).collect();
    assert_eq!(titles, ["no provider is configured", "no route is configured"]);
    assert_eq!(config.store.path, Path::new("/etc/tallyd/tallyd.ledger"));
    assert_eq!(config.web.operator_socket, Path::new("/etc/tallyd/tallyd.ledger.sock"));
    assert!(config.routes.is_empty() && config.stripe.is_empty() && config.imports.is_empty());
}

#[test]
fn a_sound_config_has_no_problem_at_all() {
    assert!(sound(SOUND).warnings.is_empty());
}

#[test]
fn a_flag_wins_over_the_environment_which_wins_over_the_file() {
    let text =
        "[ledger]\npath = \"file\"\n[http]\nlisten = \"127.0.0.1:1\"\n[log]\nfilter = \"warn\"";
    let environment = |name: &str| match name {
        "TALLYD_LEDGER" => Some("/variable".to_owned()),
        "TALLYD_LISTEN" => Some("127.0.0.1:2".to_owned()),
        _ => None,
    };
    let overrides = Overrides { listen: Some("127.0.0.1:3".to_owned()), ..Overrides::default() };
    let outside = Outside { overrides, environment: &environment };
    let config =
        load_text(text, Path::new("a/tallyd.toml"), &outside, SecretPolicy::Resolve).unwrap();
    assert_eq!(config.store.path, Path::new("/variable"));
    assert_eq!(config.web.listen.port(), 3);
    assert_eq!(config.telemetry.filter, "warn");
}

#[test]
fn a_bad_value_from_outside_the_file_is_refused_without_a_place() {
    let overrides = Overrides { listen: Some("somewhere".to_owned()), ..Overrides::default() };
    let outside = Outside { overrides, environment: &environment };
    let problems = load_text(SOUND, Path::new("a.toml"), &outside, SecretPolicy::Resolve)
        .expect_err("there is no such address");
    insta::assert_snapshot!(problems, @r#"
    error: `http.listen` is "somewhere", and no address with a port
    --> a.toml
     = note: nobody could connect
     = help: write an address such as "127.0.0.1:8484" or "[::1]:8484"

    a.toml: 1 error, 0 warnings
    "#);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing.toml");
    let problems = tallyd::config::load(&path, &outside(), SecretPolicy::Resolve)
        .expect_err("there is no such file");
    let text = problems.to_string();
    assert!(text.contains("missing.toml") && text.contains("cannot be read"), "{text}");

    std::fs::write(&path, b"# \xff").unwrap();
    let problems = tallyd::config::load(&path, &outside(), SecretPolicy::Resolve)
        .expect_err("this is no text");
    assert!(problems.to_string().contains("is not UTF-8 text, at byte 2"), "{problems}");
}

const SIX_MISTAKES: &str = r#"[ledger]
maintenance = "0 3 * * 0"

[http]
listen = "0.0.0.0:8484"
idle_second_max = 30

[stripe.main]
key = { env = "TEST" }
rate_per_second = "fast"

[route.requests]
meter = "requests"
to = "stripe.mian"
scale = 0.001
"#;

#[test]
fn six_mistakes_are_told_in_one_go_each_with_its_line() {
    let problems = read(SIX_MISTAKES).expect_err("six mistakes");
    assert_eq!(problems.errors.len(), 6);
    insta::assert_snapshot!(problems, @r#"
    error: `ledger.maintenance` has a weekday as a number, which programs count differently
     --> /etc/tallyd/tallyd.toml:2:15
      |
    2 | maintenance = "0 3 * * 0"
      |               ^^^^^^^^^^^ it would be maintained at another time than meant, or never
      |
      = help: write the weekday's name: "0 3 * * sun"

    error: `http.listen` is 0.0.0.0:8484, and there is no token
     --> /etc/tallyd/tallyd.toml:5:10
      |
    5 | listen = "0.0.0.0:8484"
      |          ^^^^^^^^^^^^^^ everybody who reaches this host could write on your customers' bills
      |
      = help: add a table [[http.token]], or listen on 127.0.0.1

    error: there is no key `http.idle_second_max`
     --> /etc/tallyd/tallyd.toml:6:1
      |
    6 | idle_second_max = 30
      | ^^^^^^^^^^^^^^^ it would be ignored, and what it is to set would stay as it is
      |
      = help: did you mean `idle_seconds_max`?

    error: `stripe.main.rate_per_second` has to be an integer, and a text is not
      --> /etc/tallyd/tallyd.toml:10:19
       |
    10 | rate_per_second = "fast"
       |                   ^^^^^^ nothing can be set from it
       |
       = help: write an integer

    error: `route.requests.to` names a provider that is not configured: "stripe.mian"
      --> /etc/tallyd/tallyd.toml:14:6
       |
    14 | to = "stripe.mian"
       |      ^^^^^^^^^^^^^ its records would wait for a provider that never comes
       |
       = help: did you mean "stripe.main"?

    error: `route.requests.scale` is a floating-point number
      --> /etc/tallyd/tallyd.toml:15:9
       |
    15 | scale = 0.001
       |         ^^^^^ it is no exact decimal, and every bill would carry its error
       |
       = help: put the number in quotes, such as "0.001"

    /etc/tallyd/tallyd.toml: 6 errors, 0 warnings
    "#);
}

#[test]
fn a_warning_stands_beside_errors() {
    let text = sound_and("scale = \"2\"\naggregate = \"count\"\nsettle = \"soon\"");
    let problems = read(&text).expect_err("a mistake");
    insta::assert_snapshot!(problems, @r#"
    error: `route.requests.settle` is "soon"
      --> /etc/tallyd/tallyd.toml:10:10
       |
    10 | settle = "soon"
       |          ^^^^^^ a window has to be posted at a known time, long before it is too old
       |
       = help: write a number of s, m, h or d, up to "7d"; without this line it is "5m"

    warning: `route.requests.scale` is set, and the route counts records
     --> /etc/tallyd/tallyd.toml:8:9
      |
    8 | scale = "2"
      |         ^^^ a record counts as one, whatever its quantity: this has no effect
      |
      = help: remove `scale`, or set `aggregate = "sum"`

    /etc/tallyd/tallyd.toml: 1 error, 1 warning
    "#);
}
