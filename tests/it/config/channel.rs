//! How the events of `[stripe.NAME]` go.

use tallyd::delivery::Rate;
use tallyd::provider::stripe::settings::{API, Channel, RATE_PER_SECOND_TEST, STREAM_API};

use super::{refused, sound};

/// An account with a key of this kind, these lines, and a route.
fn account(key: &str, lines: &str) -> String {
    format!(
        "[stripe.main]\nkey = {{ env = \"{key}\" }}\n{lines}\n\
         [route.requests]\nmeter = \"requests\"\nto = \"stripe.main\"\n"
    )
}

#[test]
fn events_go_one_by_one_by_version_1_unless_something_else_is_said() {
    let config = sound(&account("LIVE", ""));
    let of = &config.stripe[0];
    assert_eq!((of.provider.channel, of.delivery.batched_rate), (Channel::V1, None));
    assert_eq!((of.provider.api.as_str(), of.provider.stream_api.as_str()), (API, STREAM_API));
    let second = sound(&account("TEST", "channel = \"v2\""));
    let of = &second.stripe[0];
    assert_eq!((of.provider.channel, of.delivery.batched_rate), (Channel::V2, None));
    assert!(second.warnings.is_empty(), "{}", second.warnings);
}

#[test]
fn the_stream_has_a_rate_and_an_address_of_its_own() {
    let live = sound(&account("LIVE", "channel = \"stream\""));
    assert_eq!(live.stripe[0].delivery.batched_rate, Some(Rate::per_second(9_000)));
    assert!(live.warnings.is_empty(), "{}", live.warnings);
    let lines = "channel = \"stream\"\napi = \"http://127.0.0.1:1\"\n\
                 stream_events_per_second = 5000\nrate_per_second = 30";
    let here = sound(&account("TEST", lines));
    let of = &here.stripe[0];
    assert_eq!(of.provider.stream_api, "http://127.0.0.1:1");
    assert_eq!(of.delivery.batched_rate, Some(Rate::per_second(5_000)));
    assert_eq!(of.delivery.rate, Rate::per_second(30));
    assert!(here.warnings.is_empty(), "{}", here.warnings);
    let apart = format!("{lines}\nstream_api = \"http://127.0.0.1:2/\"");
    assert_eq!(sound(&account("TEST", &apart)).stripe[0].provider.stream_api, "http://127.0.0.1:2");
}

#[test]
fn what_may_not_be_meant_of_the_stream_is_said() {
    let config = sound(&account("TEST", "channel = \"stream\""));
    let said = config.warnings.to_string();
    assert!(said.contains("the key is a test key"), "{said}");
    let rate = Some(Rate::per_second(RATE_PER_SECOND_TEST));
    assert_eq!(config.stripe[0].delivery.batched_rate, rate);
    let totals = "[stripe.main.meter.requests]\nspan = \"hour\"\n";
    let text = account("LIVE", "channel = \"stream\"")
        .replace("[route", &format!("{totals}[route"))
        + "window = \"1h\"\n";
    let said = sound(&text).warnings.to_string();
    assert!(said.contains("keeps totals, which go by \"v1\""), "{said}");
}

#[test]
fn a_channel_that_nobody_knows_and_an_address_that_is_anothers_are_refused() {
    let title = "`stripe.main.channel` is \"grpc\", which is not known";
    let said = super::read(&account("TEST", "channel = \"grpc\"")).expect_err(title).to_string();
    assert!(said.contains("channel") && said.contains("\"stream\""), "{said}");
    refused(
        &account("LIVE", "stream_api = \"https://stream.example\""),
        "\"https://stream.example\"",
        "`stripe.main` has a live key, and its `stream_api` is not Stripe's",
    );
    refused(
        &account("TEST", "stream_api = \"http://stream.example\""),
        "\"http://stream.example\"",
        "`stripe.main.stream_api` is not encrypted, and not on this host",
    );
    refused(
        &account("TEST", "stream_events_per_second = 200001"),
        "200001",
        "`stripe.main.stream_events_per_second` is 200001, outside 1 to 200000",
    );
}
