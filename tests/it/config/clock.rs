//! Whose time it is: a sandbox's comes near no account but the sandbox's own.

use super::{read, refused, sound};

/// A config that follows a sandbox, without problems.
const FOLLOWING: &str = r#"
[clock]
follow = "http://127.0.0.1:8485"

[stripe.main]
key = { env = "TEST" }
api = "http://127.0.0.1:8485"

[route.requests]
meter = "requests"
to = "stripe.main"
"#;

/// The value that is to blame.
const FOLLOWED: &str = "\"http://127.0.0.1:8485\"";

#[test]
fn a_sandbox_that_is_told_with_a_test_key_may_say_what_time_it_is() {
    for text in [FOLLOWING.to_owned(), FOLLOWING.replace("8485", "8485/")] {
        let config = sound(&text);
        assert_eq!(config.follow.as_deref(), Some("http://127.0.0.1:8485"));
        assert!(config.warnings.is_empty(), "{}", config.warnings);
    }
    assert_eq!(sound("").follow, None);
}

#[test]
fn simulated_time_is_refused_with_a_live_key() {
    let live = FOLLOWING.replace("TEST", "LIVE");
    let alone = live.replacen("api = \"http://127.0.0.1:8485\"", "", 1);
    refused(&alone, FOLLOWED, "`clock.follow` is set, and `stripe.main.key` is no test key");
    // Of several accounts each is looked at.
    let second = format!("{FOLLOWING}[stripe.second]\nkey = {{ env = \"LIVE\" }}\n");
    refused(&second, FOLLOWED, "`clock.follow` is set, and `stripe.second.key` is no test key");
    let problems = read(&live).expect_err("a live key");
    let titles: Vec<&str> = problems.errors.iter().map(|each| each.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "`clock.follow` is set, and `stripe.main.key` is no test key",
            "`stripe.main` has a live key, and its `api` is not Stripe's",
        ]
    );
    insta::assert_snapshot!(read(&alone).expect_err("a live key"), @r#"
    error: `clock.follow` is set, and `stripe.main.key` is no test key
     --> /etc/tallyd/tallyd.toml:3:10
      |
    3 | follow = "http://127.0.0.1:8485"
      |          ^^^^^^^^^^^^^^^^^^^^^^^ customers would be billed by a simulated time
    ...
    6 | key = { env = "LIVE" }
      |       ---------------- this key
      |
      = help: remove `follow`, or use a key that starts with sk_test_ or rk_test_

    /etc/tallyd/tallyd.toml: 1 error, 0 warnings
    "#);
}

#[test]
fn simulated_time_is_refused_for_an_account_that_lives_by_another() {
    let title = "`clock.follow` is set, and `stripe.main.api` is another address";
    let api = "api = \"http://127.0.0.1:8485\"";
    for other in ["", "api = \"http://127.0.0.1:8486\"", "api = \"https://api.stripe.com\""] {
        refused(&FOLLOWING.replacen(api, other, 1), FOLLOWED, title);
    }
}

#[test]
fn only_a_sandbox_on_this_host_is_followed() {
    let title = "`clock.follow` is not the address of a sandbox on this host";
    for address in [
        "http://10.0.0.1:8485",
        "https://127.0.0.1:8485",
        "http://sandbox.example",
        "127.0.0.1:8485",
        "http://127.0.0.1:8485/time",
        "http://",
        "",
    ] {
        let text = FOLLOWING.replacen(FOLLOWED, &format!("\"{address}\""), 1);
        refused(&text, &format!("\"{address}\""), title);
    }
}
