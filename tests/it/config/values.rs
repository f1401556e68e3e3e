//! The other tables: what each value may be, and which contradict each other.

use std::path::Path;

use tallyd::delivery::Rate;
use tallyd::domain::provider_facts::Formula;
use tallyd::domain::time::Timestamp;
use tallyd::intake::import::{Format, QuantityRule, WhenEmpty};
use tallyd::reconcile::Heal;

use super::{SOUND, read, refused, sound, sound_and};

/// [`SOUND`] with lines put into its account.
fn account_and(more: &str) -> String {
    SOUND.replace("[route", &format!("{more}\n[route"))
}

#[test]
fn a_number_outside_its_bounds_is_refused() {
    for (table, key, value, bounds) in [
        ("ledger", "cache_kib", "0", "1024 to 16777216"),
        ("ledger", "ballast_bytes", "-1", "0 to 1073741824"),
        ("http", "head_seconds_max", "0", "1 to 300"),
        ("http", "request_seconds_max", "-1", "1 to 3600"),
        ("http", "idle_seconds_max", "3601", "1 to 3600"),
        ("http", "connections_max", "9223372036854775807", "1 to 65536"),
        ("intake", "body_bytes_max", "0", "1024 to 1073741824"),
        ("intake", "batch_records_max", "0", "1 to 1000000"),
        ("intake", "record_bytes_max", "255", "256 to 1073741824"),
        ("intake", "properties_max", "-1", "0 to 1000"),
        ("intake", "ahead_seconds_max", "-1", "0 to 31536000"),
        ("intake", "free_bytes_min", "0", "1048576 to 1125899906842624"),
        ("intake", "inflight_bytes_max", "0", "1024 to 17179869184"),
    ] {
        let title = format!("`{table}.{key}` is {value}, outside {bounds}");
        refused(&format!("[{table}]\n{key} = {value}"), value, &title);
    }
    for (key, value, bounds) in [
        ("rate_per_second", "0", "1 to 10000"),
        ("concurrency", "0", "1 to 1024"),
        ("attempt_timeout_seconds", "1", "2 to 120"),
        ("backoff_first_millis", "9", "10 to 600000"),
        ("backoff_seconds_max", "0", "1 to 3600"),
        ("pause_probe_seconds", "0", "1 to 3600"),
        ("reads_per_month", "-1", "0 to 100000"),
    ] {
        let title = format!("`stripe.main.{key}` is {value}, outside {bounds}");
        refused(&account_and(&format!("{key} = {value}")), value, &title);
    }
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    for (text, at, title) in [
        (
            "[http]\nhead_seconds_max = 30".to_owned(),
            "30",
            "`http.head_seconds_max` is 30, more than `http.request_seconds_max`, 20",
        ),
        (
            "[intake]\nbody_bytes_max = 1024".to_owned(),
            "1024",
            "`intake.record_bytes_max` is 65536, more than `intake.body_bytes_max`, 1024",
        ),
        (
            "[intake]\ninflight_bytes_max = 1024".to_owned(),
            "1024",
            "`intake.body_bytes_max` is 8388608, more than `intake.inflight_bytes_max`, 1024",
        ),
        (
            account_and("backoff_first_millis = 2000\nbackoff_seconds_max = 1"),
            "2000",
            "`stripe.main` waits longer first than at most",
        ),
    ] {
        refused(&text, at, title);
    }
}

#[test]
fn a_time_of_maintenance_or_of_a_report_that_is_none_or_means_two_things_is_refused() {
    for (text, why) in [
        ("daily", "has 1 fields, and needs five: minute, hour, day of month, month, weekday"),
        ("0 25 * * *", "is not cron text"),
        ("0 3 * * 0", "has a weekday as a number, which programs count differently"),
        (
            "0 3 1 * mon",
            "has both a day of the month and a weekday, which programs combine differently",
        ),
        ("0 3 30 2 *", "never comes due"),
    ] {
        let at = format!("\"{text}\"");
        let title = format!("`ledger.maintenance` {why}");
        refused(&format!("[ledger]\nmaintenance = {at}"), &at, &title);
        let title = format!("`stripe.main.flush` {why}");
        refused(&account_and(&format!("flush = {at}")), &at, &title);
        let title = format!("`stripe.main.reconcile` {why}");
        refused(&account_and(&format!("reconcile = {at}")), &at, &title);
    }
}

#[test]
fn a_zone_of_schedules_is_one_of_the_database() {
    let text = "[ledger]\nzone = \"Berlin\"";
    let title = "`ledger.zone` is \"Berlin\", which is no zone of the IANA's database";
    refused(text, "\"Berlin\"", title);
    let title = "`stripe.main.zone` is \"+02:00\", which is no zone of the IANA's database";
    refused(&account_and("zone = \"+02:00\""), "\"+02:00\"", title);
    let told = "flush = \"0 6 * * *\"\nzone = \"Europe/Berlin\"";
    let config = sound(&account_and(told));
    let flush = config.stripe[0].flush.as_ref().unwrap();
    let noon = Timestamp::parse_rfc3339("2026-07-01T12:00:00Z").unwrap();
    assert_eq!(flush.next_after(noon).unwrap().to_rfc3339(), "2026-07-02T04:00:00Z");
}

#[test]
fn a_report_heals_only_where_that_is_said_and_only_with_a_time_to_be_made_at() {
    let heals = |more: &str| {
        let config = sound(&account_and(more));
        config.stripe[0].reports.as_ref().map(|reports| reports.heal)
    };
    let when = "reconcile = \"15 4 * * *\"";
    assert_eq!(heals(""), None);
    assert_eq!(heals("heal = \"none\""), None);
    assert_eq!(heals(when), Some(Heal::None));
    assert_eq!(heals(&format!("{when}\nheal = \"none\"")), Some(Heal::None));
    assert_eq!(heals(&format!("{when}\nheal = \"low\"")), Some(Heal::Low));
    let title = "`stripe.main.heal` is \"low\", and there is no `stripe.main.reconcile`";
    refused(&account_and("heal = \"low\""), "\"low\"", title);
    let title = "`stripe.main.heal` does not know the word \"high\"";
    refused(&account_and("heal = \"high\""), "\"high\"", title);
}

#[test]
fn relative_paths_begin_at_the_config_file() {
    let config = sound("[ledger]\npath = \"data/a.ledger\"\n[http]\noperator_socket = \"a.sock\"");
    assert_eq!(config.store.path, Path::new("/etc/tallyd/data/a.ledger"));
    assert_eq!(config.web.operator_socket, Path::new("/etc/tallyd/a.sock"));
    refused("[ledger]\npath = \"\"", "\"\"", "`ledger.path` is \"\", which names no file");
    refused("[ledger]\npath = \"a/\"", "\"a/\"", "`ledger.path` is \"a/\", which names no file");
}

#[test]
fn a_socket_path_that_is_too_long_is_refused_where_it_comes_from() {
    let long = format!("\"/{}\"", "x".repeat(107));
    let title = "the path of the operator socket has 108 bytes, more than 107";
    refused(&format!("[http]\noperator_socket = {long}"), &long, title);
    let ledger = format!("\"/{}\"", "x".repeat(102));
    refused(&format!("[ledger]\npath = {ledger}"), &ledger, title);
    sound(&format!("[ledger]\npath = \"/{}\"", "x".repeat(101)));
    let same = "`http.operator_socket` is /a, no place for a socket";
    refused("[ledger]\npath = \"/a\"\n[http]\noperator_socket = '/a'", "'/a'", same);
}

#[test]
fn the_world_is_listened_to_only_with_a_token() {
    let text = "[http]\nlisten = \"0.0.0.0:8484\"\n";
    refused(text, "\"0.0.0.0:8484\"", "`http.listen` is 0.0.0.0:8484, and there is no token");
    sound(&format!("{text}[[http.token]]\nsecret = {{ env = \"TOKEN\" }}\nsources = [\"web\"]"));
    sound("[http]\nlisten = \"[::1]:8484\"");
    let title = "`http.listen` is \"localhost\", and no address with a port";
    refused("[http]\nlisten = \"localhost\"", "\"localhost\"", title);
}

#[test]
fn a_source_has_a_fixed_zone_or_none() {
    let config = sound("[source.a]\nzone = \"-03:30\"\n[source.b]\n");
    let zones: Vec<Option<i32>> =
        config.intake.sources.iter().map(|source| source.zone_offset_seconds).collect();
    assert_eq!(zones, [Some(-12_600), None]);
    let title = "`source.a.zone` is \"Europe/Berlin\"";
    refused("[source.a]\nzone = \"Europe/Berlin\"", "\"Europe/Berlin\"", title);
    let title = "the source's name holds a control character";
    refused("[source.\"a\\nb\"]\n", "\"a\\nb\"", title);
}

#[test]
fn a_source_is_named_by_one_source_of_events_and_that_by_no_other() {
    let config = sound("[source.a]\ncloudevents = \"/gateway/eu\"\n[source.b]\n");
    let named: Vec<Option<&str>> =
        config.intake.sources.iter().map(|source| source.cloudevents.as_deref()).collect();
    assert_eq!(named, [Some("/gateway/eu"), None]);
    let title = "`source.a.cloudevents` and `source.b.cloudevents` are the same";
    refused("[source.a]\ncloudevents = \"/eu\"\n[source.b]\ncloudevents = '/eu'", "'/eu'", title);
    for (text, shown) in [("", "\"\""), ("/two words", "\"/two words\"")] {
        let title =
            format!("`source.a.cloudevents` is {shown}, which no CloudEvent has as its source");
        refused(&format!("[source.a]\ncloudevents = '{text}'"), &format!("'{text}'"), &title);
    }
}

#[test]
fn a_log_filter_that_would_silence_the_log_is_refused() {
    for (filter, title) in [
        ("inof", "`log.filter` does not know the level \"inof\""),
        ("info,tallyd::web", "`log.filter` does not know the level \"tallyd::web\""),
        ("info,=debug", "`log.filter` names no module in \"=debug\""),
        ("", "`log.filter` does not know the level \"\""),
    ] {
        refused(&format!("[log]\nfilter = \"{filter}\""), &format!("\"{filter}\""), title);
    }
    let config = sound("[log]\nfilter = \"warn,tallyd::delivery=debug\"\nformat = \"json\"");
    assert_eq!(config.telemetry.format, tallyd::telemetry::LogFormat::Json);
    let title = "`log.format` does not know the word \"yaml\"";
    refused("[log]\nformat = \"yaml\"", "\"yaml\"", title);
}

#[test]
fn a_key_decides_the_rate_and_an_attempt_leaves_a_margin() {
    let test = sound(SOUND).stripe[0].clone();
    let live = sound(&SOUND.replace("TEST", "LIVE")).stripe[0].clone();
    assert_eq!(test.delivery.rate, Rate::per_second(20));
    assert_eq!(live.delivery.rate, Rate::per_second(900));
    assert_eq!(live.delivery.attempt_timeout_millis, 20_000);
    assert_eq!(live.provider.timeout_millis, 19_000);
    let set = sound(&account_and("rate_per_second = 7")).stripe[0].clone();
    assert_eq!(set.delivery.rate, Rate::per_second(7));
}

#[test]
fn a_live_key_goes_to_stripe_and_nowhere_else() {
    let title = "`stripe.main` has a live key, and its `api` is not Stripe's";
    for api in ["\"https://stripe.example\"", "\"http://127.0.0.1:12111\""] {
        let text = account_and(&format!("api = {api}")).replace("TEST", "LIVE");
        refused(&text, api, title);
    }
    sound(&account_and("api = \"https://api.stripe.com/\"").replace("TEST", "LIVE"));
}

#[test]
fn an_api_is_encrypted_or_on_this_host() {
    for api in ["http://127.0.0.1:12111", "http://[::1]:12111", "http://localhost:1", "https://a.b"]
    {
        let config = sound(&account_and(&format!("api = \"{api}/\"")));
        assert_eq!(config.stripe[0].provider.api, api);
    }
    for (api, title) in [
        ("http://10.0.0.1", "is not encrypted, and not on this host"),
        ("http://127.0.0.1.evil.example", "is not encrypted, and not on this host"),
        ("http://localhost@evil.example", "is not the plain address of a server"),
        ("https://a.b/v1", "is not the plain address of a server"),
        ("https://", "is not the plain address of a server"),
        ("api.stripe.com", "is not the plain address of a server"),
    ] {
        let at = format!("\"{api}\"");
        let title = format!("`stripe.main.api` {title}");
        refused(&account_and(&format!("api = {at}")), &at, &title);
    }
}

#[test]
fn an_account_id_is_one_of_stripes() {
    let config = sound(&account_and("account = \"acct_1a\""));
    assert_eq!(config.stripe[0].provider.account.as_deref(), Some("acct_1a"));
    let title = "`stripe.main.account` is \"cus_1\", and no account id";
    refused(&account_and("account = \"cus_1\""), "\"cus_1\"", title);
}

#[test]
fn a_declared_meter_is_taken_as_declared() {
    let config = sound(&account_and("[stripe.main.meter.x]\nid = \"mtr_1\"\nvalue_key = \"n\""));
    let meter = &config.stripe[0].provider.meters[0];
    assert_eq!(meter.meter.as_str(), "x");
    assert_eq!(meter.id.as_deref(), Some("mtr_1"));
    assert_eq!(
        (meter.customer_key.as_str(), meter.value_key.as_str()),
        ("stripe_customer_id", "n")
    );
    assert_eq!((meter.formula, meter.span), (Formula::Sum, None));
    assert!(meter.active && !meter.learned);
}

#[test]
fn a_declared_meter_that_cannot_be_told_is_refused() {
    for (line, at, title) in [
        (
            "formula = \"last\"\nspan = \"day\"",
            "\"day\"",
            "`stripe.main.meter.x.span` is set, and `stripe.main.meter.x.formula` is \"last\"",
        ),
        (
            "formula = \"avg\"",
            "\"avg\"",
            "`stripe.main.meter.x.formula` does not know the word \"avg\"",
        ),
        (
            "span = \"week\"",
            "\"week\"",
            "`stripe.main.meter.x.span` does not know the word \"week\"",
        ),
        (
            "formula = \"count\"\nspan = \"day\"",
            "\"day\"",
            "`stripe.main.meter.x.span` is set, and `stripe.main.meter.x.formula` is \"count\"",
        ),
        ("id = \"\"", "\"\"", "`stripe.main.meter.x.id` is empty"),
        ("value_key = \"\"", "\"\"", "`stripe.main.meter.x.value_key` needs 1 to 100 characters"),
    ] {
        refused(&account_and(&format!("[stripe.main.meter.x]\n{line}")), at, title);
    }
    let long = "x".repeat(101);
    let text = account_and(&format!("[stripe.main.meter.{long}]"));
    refused(&text, &long, "the meter's name is longer than 100 characters");
}

const IMPORT: &str = "[import.a]\n";
const RECORD: &str = "[[import.a.record]]\nmeter = \"bytes\"\ncolumn = \"n\"\n";

#[test]
fn an_import_says_how_rows_become_records() {
    let config = sound(&format!(
        "{IMPORT}delimiter = \"\\t\"\nid = \"request\"\nproperties = [\"method\"]\n{RECORD}\
         [[import.a.record]]\nmeter = \"requests\"\nquantity = 1\nid_suffix = \"-1\"\n"
    ));
    let mapping = &config.imports[0];
    assert_eq!(mapping.format, Format::Csv { delimiter: b'\t' });
    assert_eq!((mapping.id.as_str(), mapping.time.as_str()), ("request", "time"));
    assert_eq!(mapping.customer, "customer");
    assert_eq!(mapping.properties, ["method"]);
    let [bytes, requests] = mapping.records.as_slice() else { panic!("{mapping:?}") };
    assert_eq!(bytes.quantity, QuantityRule::Column("n".into()));
    assert_eq!((bytes.id_suffix.as_str(), bytes.when_empty), ("", WhenEmpty::Reject));
    assert_eq!(requests.quantity, QuantityRule::Constant(1.into()));
    assert_eq!(requests.id_suffix, "-1");
}

#[test]
fn an_import_that_would_make_no_sound_records_is_refused() {
    let with = |line: &str| format!("{IMPORT}{line}\n{RECORD}");
    refused(IMPORT, "a", "`import.a` makes no records");
    refused(
        &with("format = \"xml\""),
        "\"xml\"",
        "`import.a.format` does not know the word \"xml\"",
    );
    refused(
        &with("delimiter = \"ab\""),
        "\"ab\"",
        "`import.a.delimiter` is \"ab\", and no single mark",
    );
    let title = "`import.a.delimiter` is set, and ndjson has no columns";
    refused(&with("format = \"ndjson\"\ndelimiter = \";\""), "\";\"", title);
    refused(&with("time = \"\""), "\"\"", "`import.a.time` is empty");
    let twice = format!("{IMPORT}{RECORD}{RECORD}id_suffix = ''");
    refused(&twice, "''", "two records of `import.a` end their id with \"\"");

    let record = |line: &str| format!("{IMPORT}[[import.a.record]]\nmeter = \"b\"\n{line}");
    let header = "[[import.a.record]]";
    refused(&record(""), header, "`import.a.record.1` has neither `quantity` nor `column`");
    let both = record("quantity = 1\ncolumn = \"n\"");
    refused(&both, "1", "`import.a.record.1` has both `quantity` and `column`");
    refused(&record("quantity = -1"), "-1", "`import.a.record.1.quantity` is -1, below zero");
    refused(
        &record("quantity = 0.5"),
        "0.5",
        "`import.a.record.1.quantity` is a floating-point number",
    );
    let title = "`import.a.record.1.when_empty` does not know the word \"drop\"";
    refused(&record("column = \"n\"\nwhen_empty = \"drop\""), "\"drop\"", title);
    let title = "`import.a.record.1.meter` is missing";
    refused(&format!("{IMPORT}{header}\ncolumn = \"n\""), header, title);
}

#[test]
fn what_has_no_effect_in_an_import_is_warned_of() {
    let rule = "[[import.a.record]]\nmeter = \"b\"\nquantity = 1\nwhen_empty = \"zero\"\n";
    let title = "`import.a.record.1.when_empty` is set beside a constant quantity";
    super::warned(&sound_and(&format!("{IMPORT}{rule}")), "\"zero\"", title);
}

#[test]
fn delivery_stops_no_earlier_than_intake() {
    let text = format!("{SOUND}[intake]\nfree_bytes_min = 2097152\n");
    assert_eq!(read(&text).unwrap().stripe[0].delivery.free_bytes_min, 2_097_152);
    assert_eq!(sound(SOUND).stripe[0].delivery.free_bytes_min, 16 * 1024 * 1024);
}
