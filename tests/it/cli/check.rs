//! `tallyd check`.

use super::{CONFIG, Place, Ran};

#[test]
fn a_sound_config_is_told_in_words() {
    let place = Place::new();
    let more = r#"
[[http.token]]
secret = { env = "TOKEN" }
sources = ["web", "batch"]

[source.batch]
zone = "-03:30"
cloudevents = "/batch/eu"

[route.eu]
meter = "bytes"
match = { plan = "pro", region = "eu" }
to = "stripe.main"
event = "gigabytes"
window = "1d"
scale = "0.000000001"
settle = "90s"
account = { template = "cus_{customer}" }

[route.calls]
meter = "calls"
to = "stripe.main"
window = "record"
aggregate = "count"

[[import.access.record]]
meter = "bytes"
column = "size"
id_suffix = "-bytes"
"#;
    place.put("tallyd.toml", &format!("{CONFIG}{more}"));
    let mut command = place.command("check");
    command.env("STRIPE_KEY", "sk_test_1").env("TOKEN", "0123456789abcdef");
    let ran = Ran::of(command.output().unwrap());
    insta::assert_snapshot!(ran.whole(), @r#"
    exit 0
    ledger tallyd.ledger: maintained at "0 3 * * *", UTC
    http 127.0.0.1:8484: usage is taken with 1 token
    provider stripe.main: told at https://api.stripe.com, to the account met first, which is pinned, at most 64 requests at once
    route bytes: usage of "bytes" → stripe.main meter "bytes", hourly sums, posted 5m after each hour, to the imported account
    route calls: usage of "calls" → stripe.main meter "calls", one for each record, posted at once
    route eu: usage of "bytes" where plan = "pro" and region = "eu" → stripe.main meter "gigabytes", daily sums, times 0.000000001, posted 90s after each day, to the account "cus_{customer}"
    route requests: usage of "requests" → stripe.main meter "requests", hourly sums, posted 5m after each hour
    source batch: token 1 speaks for it; times without a zone are at -03:30; its CloudEvents say "/batch/eu"
    source web: token 1 speaks for it
    import access: each csv row is 1 of "requests" and "bytes" from the column "size"

    tallyd.toml: 0 errors, 0 warnings
    "#);
}

#[test]
fn all_that_is_wrong_is_told_and_the_exit_says_so() {
    let place = Place::new();
    place.put("tallyd.toml", "[route.requests]\nmeter = \"requests\"\nto = \"strip\"\nwindw = 1\n");
    insta::assert_snapshot!(place.run("check").whole(), @r#"
    exit 78
    error: `route.requests.to` names a provider that is not configured: "strip"
     --> tallyd.toml:3:6
      |
    3 | to = "strip"
      |      ^^^^^^^ its records would wait for a provider that never comes
      |
      = help: add a table such as [stripe.main] with a key

    error: there is no key `route.requests.windw`
     --> tallyd.toml:4:1
      |
    4 | windw = 1
      | ^^^^^ it would be ignored, and what it is to set would stay as it is
      |
      = help: did you mean `window`?

    warning: no provider is configured
    --> tallyd.toml
     = note: usage is booked, and nobody is told
     = help: add a table such as [stripe.main] with a key

    tallyd.toml: 2 errors, 1 warning
    "#);
    let missing = place.run("check --config nowhere.toml");
    assert_eq!((missing.code, missing.err.as_str()), (78, ""));
    assert!(missing.out.contains("nowhere.toml: 1 error, 0 warnings"), "{missing:?}");
}

#[test]
fn a_broken_config_keeps_every_command_from_its_work() {
    let place = Place::new();
    place.put("tallyd.toml", "[route.requests]\n");
    for line in [
        "status",
        "books",
        "trace web/a",
        "held list",
        "held show event:1",
        "ledger verify",
        "import a --source web",
        "customers import a --provider stripe.main",
    ] {
        let ran = place.run(line);
        assert_eq!((ran.code, ran.out.as_str()), (78, ""), "{line}");
        assert!(ran.err.contains("`route.requests.meter`"), "{line}: {ran:?}");
    }
}
