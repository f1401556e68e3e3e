//! What differs between two configs: by which name it is told, and whether a running daemon can
//! follow it.

use tallyd::config::Change;

use super::{LIVE_KEY, SOUND, TEST_KEY, sound, sound_and};

/// What follows, and what stays until a restart.
fn between(old: &str, new: &str) -> (Vec<String>, Vec<String>) {
    let change = Change::between(&sound(old), &sound(new));
    let told = format!("{change:?}");
    assert!(!told.contains(LIVE_KEY) && !told.contains(TEST_KEY), "{told}");
    (change.follows.into_iter().collect(), change.fixed.into_iter().collect())
}

/// Both ways of the difference that `lines` make come to the same.
fn differs(lines: &str, follows: &[&str], fixed: &[&str]) {
    let text = format!("{lines}\n{SOUND}");
    let there = between(SOUND, &text);
    assert_eq!(there, between(&text, SOUND), "{lines}");
    assert_eq!(there.0, follows, "{lines}");
    assert_eq!(there.1, fixed, "{lines}");
}

#[test]
fn what_cannot_change_before_a_restart_is_a_closed_list() {
    for (lines, key) in [
        ("[ledger]\npath = \"other\"\nfence = \"tallyd.ledger.fence\"", "ledger.path"),
        ("[ledger]\nfence = \"other\"", "ledger.fence"),
        ("[ledger]\ncache_kib = 4096", "ledger.cache_kib"),
        ("[http]\nlisten = \"127.0.0.1:1\"", "http.listen"),
        ("[http]\noperator_socket = \"other\"", "http.operator_socket"),
        ("[http]\nhead_seconds_max = 4", "http.head_seconds_max"),
        ("[http]\nrequest_seconds_max = 19", "http.request_seconds_max"),
        ("[http]\nidle_seconds_max = 14", "http.idle_seconds_max"),
        ("[http]\nconnections_max = 99", "http.connections_max"),
        ("[intake]\ninflight_bytes_max = 70000000", "intake.inflight_bytes_max"),
        ("[log]\nformat = \"json\"", "log.format"),
    ] {
        let fixed: Vec<String> = between(SOUND, &format!("{lines}\n{SOUND}")).1;
        assert!(fixed.contains(&key.to_owned()), "{lines}: {fixed:?}");
        // The path of the ledger is that of its socket, too.
        assert!(fixed.len() == 1 || key == "ledger.path", "{lines}: {fixed:?}");
    }
    let other = sound_and("[stripe.other]\nkey = { env = \"TEST\" }\n");
    assert_eq!(between(SOUND, &other), (vec![], vec!["stripe.other (new)".to_owned()]));
    assert_eq!(between(&other, SOUND), (vec![], vec!["stripe.other (gone)".to_owned()]));
}

#[test]
fn what_a_running_daemon_follows_is_told_by_its_name() {
    differs("", &[], &[]);
    differs("[log]\nformat = \"text\"\nfilter = \"info\"", &[], &[]);
    differs("[log]\nfilter = \"debug\"", &["log.filter"], &[]);
    differs("[ledger]\nballast_bytes = 0", &["ledger.ballast_bytes"], &[]);
    differs("[ledger]\nmaintenance = \"0 4 * * *\"", &["ledger.maintenance"], &[]);
    differs("[ledger]\nzone = \"Europe/Berlin\"", &["ledger.maintenance"], &[]);
    differs("[ledger]\nheld_alarm_basis_points = 7", &["ledger.held_alarm_basis_points"], &[]);
    differs("[silence]\nmeters = false", &["silence.meters"], &[]);
    differs("[silence]\ngap_percent = 300", &["silence.gap_percent"], &[]);
    differs("[silence]\nquiet_seconds_min = 300", &["silence.quiet_seconds_min"], &[]);
    let accepted = "[silence]\naccepted_customers = [\"acme\"]";
    differs(accepted, &["silence.accepted_customers"], &[]);
    differs("[intake]\nproperties_max = 7", &["intake.properties_max"], &[]);
    differs(
        "[[http.token]]\nsecret = { env = \"TOKEN\" }\nsources = [\"web\"]",
        &["http.token"],
        &[],
    );
    for (from, to, named) in [
        ("env = \"TEST\"", "env = \"LIVE\"", "stripe.main.key, stripe.main.rate_per_second"),
        ("[route", "account = \"acct_1\"\n[route", "stripe.main.account"),
        ("[route", "rate_per_second = 7\n[route", "stripe.main.rate_per_second"),
        ("[route", "flush = \"0 6 * * *\"\n[route", "stripe.main.flush"),
        ("[route", "reconcile = \"0 4 * * *\"\n[route", "stripe.main.reconcile"),
        ("[route", "[stripe.main.meter.requests]\nid = \"mtr_1\"\n[route", "stripe.main.meter"),
        (
            "[route",
            "[stripe.main.meter.requests]\nid = \"mtr_1\"\nspan = \"hour\"\n[route",
            "stripe.main.meter",
        ),
        (
            "[route",
            "webhook_secrets = [{ env = \"WEBHOOK\" }]\n[route",
            "stripe.main.webhook_secrets",
        ),
        ("meter = ", "late = \"drop\"\nmeter = ", "route.requests"),
        ("route.requests", "route.renamed", "route.renamed (new), route.requests (gone)"),
    ] {
        let (follows, fixed) = between(SOUND, &SOUND.replace(from, to));
        assert_eq!((follows.join(", ").as_str(), fixed.len()), (named, 0), "{to}");
    }
}

#[test]
fn a_setting_of_one_provider_has_no_other_made_anew() {
    let site = |decimals: u32| {
        let text = "[chargebee.main]\nkey = { env = \"SITE_TEST\" }\nsite = \"acme-test\"\n";
        sound_and(&format!("{text}decimals = {decimals}\n"))
    };
    let change = Change::between(&sound(&site(2)), &sound(&site(3)));
    let anew: Vec<&str> = change.providers.iter().map(|name| name.as_str()).collect();
    assert_eq!(anew, ["chargebee.main"]);
    assert!(change.follows.contains("chargebee.main.decimals"));
    let events = site(2).replace("decimals = 2", "mode = \"usage_events\"");
    let change = Change::between(&sound(&site(2)), &sound(&events));
    let fixed: Vec<&String> = change.fixed.iter().collect();
    assert_eq!(fixed, ["chargebee.main (gone)", "chargebee.main (new)"]);
    let filling = "[intake]\nfree_bytes_min = 100000000\n";
    let change = Change::between(&sound(SOUND), &sound(&format!("{filling}{SOUND}")));
    assert_eq!(change.follows.iter().collect::<Vec<_>>(), ["intake.free_bytes_min"]);
}

#[test]
fn a_spool_stays_as_it_is_until_a_restart_with_what_its_lines_are_read_by() {
    let spool = |quantity: u32, lines: &str| {
        sound_and(&format!(
            "[import.gate]\nid = \"id\"\ntime = \"time\"\ncustomer = \"customer\"\n\
             [[import.gate.record]]\nmeter = \"requests\"\nquantity = {quantity}\n\
             [spool.edge]\nsource = \"edge\"\n{lines}\n"
        ))
    };
    let plain = "directory = \"waiting\"";
    let bare = sound_and("[spool.edge]\ndirectory = \"waiting\"\n");
    assert_eq!(between(SOUND, &bare), (vec![], vec!["spool.edge (new)".to_owned()]));
    assert_eq!(between(&bare, SOUND), (vec![], vec!["spool.edge (gone)".to_owned()]));
    for (lines, key) in [
        ("directory = \"elsewhere\"".to_owned(), "directory"),
        (format!("{plain}\nlook_seconds = 7"), "look_seconds"),
        (format!("{plain}\nsilence_seconds = 7"), "silence_seconds"),
        (format!("{plain}\nmapping = \"gate\""), "mapping"),
    ] {
        let fixed = vec![format!("spool.edge.{key}")];
        assert_eq!(between(&spool(1, plain), &spool(1, &lines)), (vec![], fixed.clone()));
        assert_eq!(between(&spool(1, &lines), &spool(1, plain)), (vec![], fixed));
    }
    let other = bare.replace("waiting\"", "waiting\"\nsource = \"web\"");
    assert_eq!(between(&bare, &other), (vec![], vec!["spool.edge.source".to_owned()]));
    // What nobody reads by is followed; what somebody does is refused, and named.
    let follows = vec!["import.gate".to_owned()];
    let one = |quantity| spool(quantity, plain);
    assert_eq!(between(&one(1), &one(2)), (follows.clone(), vec![]));
    let one = |quantity| spool(quantity, &format!("{plain}\nmapping = \"gate\""));
    let fixed = vec!["import.gate (of spool.edge)".to_owned()];
    assert_eq!(between(&one(1), &one(2)), (follows, fixed));
}

#[test]
fn a_lever_stays_as_it_is_until_a_restart() {
    let lever = |period: &str| {
        sound_and(&format!("[lever.calls]\nmetering_id = \"requests\"\nperiod = \"{period}\"\n"))
    };
    let day = lever("1d");
    assert_eq!(between(SOUND, &day), (vec![], vec!["lever.calls (new)".to_owned()]));
    assert_eq!(between(&day, SOUND), (vec![], vec!["lever.calls (gone)".to_owned()]));
    assert_eq!(between(&day, &lever("2d")), (vec![], vec!["lever.calls".to_owned()]));
    assert_eq!(between(&day, &day), (vec![], vec![]));
}

#[test]
fn the_planship_api_stays_as_it_is_until_a_restart() {
    let api = |lines: &str| {
        sound_and(&format!(
            "[planship_api]\nclient_id = \"one\"\nclient_secret = {{ env = \"TOKEN\" }}\n\
             products = [\"demo\"]\n{lines}"
        ))
    };
    let fixed = vec!["planship_api".to_owned()];
    assert_eq!(between(SOUND, &api("")), (vec![], fixed.clone()));
    assert_eq!(between(&api(""), SOUND), (vec![], fixed.clone()));
    assert_eq!(between(&api(""), &api("source = \"other\"")), (vec![], fixed));
    assert_eq!(between(&api(""), &api("source = \"planship\"")), (vec![], vec![]));
}
