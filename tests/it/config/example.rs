//! `config.example.toml`: it is read, it is whole, and what it says of defaults is true.

use std::collections::BTreeSet;
use std::path::Path;

use tallyd::config::{Config, Outside, Overrides, Problem, Problems, SecretPolicy, load_text};

const EXAMPLE: &str = include_str!("../../../config.example.toml");
/// Marks a line of the example that shows no default.
const MARK: &str = "(example)";

/// The example with its optional tables, and of them the lines that `keep` wants.
fn uncommented(keep: impl Fn(&str) -> bool) -> String {
    let line = |line: &str| match line.strip_prefix("#: ") {
        Some(optional) if keep(optional) => format!("{optional}\n"),
        Some(_) => "\n".to_owned(),
        None => format!("{line}\n"),
    };
    EXAMPLE.lines().map(line).collect()
}

fn try_read(text: &str) -> Result<Config, Problems> {
    let environment = |name: &str| match name {
        "STRIPE_KEY" => Some(super::LIVE_KEY.to_owned()),
        "TALLYD_TOKEN" => Some(super::TOKEN.to_owned()),
        "PLANSHIP_SECRET" => Some("canary-of-planship-clients".to_owned()),
        "CHARGEBEE_KEY" => Some("canary-of-a-site".to_owned()),
        "CHARGEBEE_WEBHOOK_PASSWORD" => Some("canary-of-its-webhooks".to_owned()),
        "STRIPE_WEBHOOK_SECRET" => Some(super::WEBHOOK.to_owned()),
        "PLANSHIP_CLIENT_SECRET" => Some("canary-of-a-client".to_owned()),
        "CRYPTOLENS_TOKEN" => Some("canary-of-an-account".to_owned()),
        _ => None,
    };
    let outside = Outside { overrides: Overrides::default(), environment: &environment };
    load_text(text, Path::new("tallyd.toml"), &outside, SecretPolicy::Resolve)
}

fn read(text: &str) -> Config {
    try_read(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Everything in a config but the text it was read from.
fn said(config: &Config) -> String {
    let Config { store, ballast_bytes, maintenance, web, intake, .. } = config;
    let Config { stripe, chargebee, usage_events, routes, imports, spools, .. } = config;
    let Config { cryptolens, planship, tellings, telemetry, follow, .. } = config;
    let Config { silence, levers, planship_api, .. } = config;
    format!(
        "{store:#?} {ballast_bytes} {maintenance} {web:#?} {intake:#?} {stripe:#?} \
         {chargebee:#?} {usage_events:#?} {cryptolens:#?} {planship:#?} {routes:#?} \
         {tellings:#?} {imports:#?} {spools:#?} {telemetry:#?} \
         {follow:?} {silence:?} {levers:?} {planship_api:?}"
    )
}

#[test]
fn the_example_is_a_config() {
    read(EXAMPLE);
}

#[test]
fn the_example_with_all_its_examples_is_a_config_with_nothing_to_warn_of_but_usage_records() {
    let config = read(&uncommented(|_| true));
    // What RecordUsage rests on is said whatever is set.
    let rests = |warning: &Problem| warning.title.contains("needs Stripe's usage records");
    assert!(config.warnings.warnings.iter().all(rests), "{}", config.warnings);
    assert_eq!((config.stripe.len(), config.chargebee.len()), (1, 1));
    assert_eq!((config.usage_events.len(), config.cryptolens.len()), (1, 1));
    assert_eq!(config.planship.len(), 1);
    assert_eq!((config.routes.len(), config.imports.len()), (1, 1));
}

#[test]
fn the_defaults_that_the_example_shows_are_the_compiled_ones() {
    assert_eq!(said(&read(EXAMPLE)), said(&read("")));
    let shown = uncommented(|_| true);
    let left_out = uncommented(|line| line.starts_with('[') || line.contains(MARK));
    assert_ne!(shown, left_out);
    assert_eq!(said(&read(&shown)), said(&read(&left_out)));
}

#[test]
fn a_line_that_is_marked_shows_something_else_than_a_default() {
    let whole = said(&read(&uncommented(|_| true)));
    for marked in EXAMPLE.lines().filter(|line| line.starts_with("#: ") && line.contains(MARK)) {
        // Without it there is no config, or another one.
        let without = try_read(&uncommented(|line| !marked.ends_with(line)));
        assert!(without.is_err() || without.is_ok_and(|config| said(&config) != whole), "{marked}");
    }
}

#[test]
fn every_key_that_the_schema_knows_stands_in_the_example() {
    let tables = [
        "ledger",
        "http",
        "[http.token]",
        "intake",
        "source.web",
        "stripe.main",
        "stripe.main.meter.api_requests",
        "stripe.main.customer.cus_ExampleCustomer",
        "chargebee.main",
        "chargebee.main.item_price.api-requests-EUR",
        "chargebee.main.subscription.ExampleSubscription",
        "chargebee.metered.feature.api-calls",
        "route.requests",
        "import.access",
        "[import.access.record]",
        "lever.api-requests",
        "planship_api",
        "silence",
        "log",
        "clock",
    ];
    // A key that nobody knows makes the reader list those that it knows.
    for table in tables {
        let problems = super::read(&format!("[{table}]\n\"?\" = 1")).expect_err(table);
        let known = keys_listed(&problems.errors.iter().find_map(known_here).expect(table));
        // Some are shown as tables of their own; the span is told of in a sentence, and so is what
        // goes with distinct values alone, and whose clock is followed, which no config with a live
        // key may say.
        let mut shown = keys_shown(table);
        shown.extend(
            [
                "token",
                "meter",
                "item_price",
                "feature",
                "record",
                "span",
                "unique",
                "follow",
                "customer",
                "subscription",
            ]
            .map(str::to_owned),
        );
        let missing: Vec<&String> = known.difference(&shown).collect();
        assert!(!known.is_empty() && missing.is_empty(), "[{table}] lacks {missing:?}");
    }
    assert!(uncommented(|_| true).contains("`unique = \"user\"` names the property"));
    let problems = super::read("\"?\" = 1").expect_err("no such table");
    for table in keys_listed(&problems.errors.iter().find_map(known_here).expect("a list")) {
        let shown = uncommented(|_| true);
        let told = table == "clock" && shown.contains("\n# [clock] with `follow = ");
        assert!(told || shown.contains(&format!("\n[{table}")), "{table}");
    }
}

fn known_here(problem: &Problem) -> Option<String> {
    problem.help.split_once("known here: ").map(|(_, list)| list.to_owned())
}

fn keys_listed(list: &str) -> BTreeSet<String> {
    list.split(", ").map(|key| key.trim_matches('`').to_owned()).collect()
}

/// The keys in all the example's tables of this name.
fn keys_shown(table: &str) -> BTreeSet<String> {
    let text = uncommented(|_| true);
    let mut inside = false;
    let mut keys = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with('[') {
            inside = line == format!("[{table}]");
        } else if let (true, Some((key, _))) = (inside, line.split_once(" = ")) {
            keys.insert(key.to_owned());
        }
    }
    keys
}
