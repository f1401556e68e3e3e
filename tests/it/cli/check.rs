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
    insta::assert_snapshot!(ran.whole(), @"?");
}

#[test]
fn all_that_is_wrong_is_told_and_the_exit_says_so() {
    let place = Place::new();
    place.put("tallyd.toml", "[route.requests]\nmeter = \"requests\"\nto = \"strip\"\nwindw = 1\n");
    insta::assert_snapshot!(place.run("check").whole(), @"?");
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
