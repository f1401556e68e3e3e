//! The bytes of events, each channel's, and what they say of themselves.

use super::*;
use crate::domain::event::{Identifier, Says};
use crate::domain::quantity::Quantity;
use crate::provider::stripe::encode::body;
use crate::provider::stripe::encode::tests::{self as forms, pin};

/// At the end of a second, which no body says.
fn intent(quantity: &str) -> EventIntent {
    forms::intent(quantity, 1_700_000_000_999_999)
}

fn encoded(channel: Channel, intent: &EventIntent) -> String {
    let meter = pin("tokens", "stripe_customer_id", "value");
    let account = AccountName::new("cus_1").unwrap();
    String::from_utf8(body(&meter, &account, intent, channel)).unwrap()
}

#[test]
fn the_bytes_of_an_event_never_change() {
    let object = "{\"event_name\":\"tokens\",\
        \"identifier\":\"tallyd-00112233445566aa-ffeeddccbbaa99887766554433221100\",\
        \"payload\":{\"stripe_customer_id\":\"cus_1\",\"value\":\"25\"},\
        \"timestamp\":\"2023-11-14T22:13:20Z\"}";
    assert_eq!(encoded(Channel::V2, &intent("25")), object);
    assert_eq!(encoded(Channel::Stream, &intent("25")), format!("{{\"events\":[{object}]}}"));
    let odd = pin("to\"kens", "z\\y", "ü");
    let account = AccountName::new("cus_\"1").unwrap();
    let said: serde_json::Value =
        serde_json::from_str(&super::object(&odd, &account, &intent("25"))).unwrap();
    assert_eq!(said["event_name"], "to\"kens");
    assert_eq!(said["payload"], serde_json::json!({ "z\\y": "cus_\"1", "ü": "25" }));
}

#[test]
fn what_version_2_may_refuse_goes_by_version_1() {
    let total = EventIntent { total: Some(Quantity::parse("7").unwrap()), ..intent("2") };
    let cancel = EventIntent { says: Says::Cancel(Identifier::stored("t")), ..intent("2") };
    for channel in [Channel::V1, Channel::V2, Channel::Stream] {
        for odd in [intent("-25"), intent("0.5"), intent("25.000001"), intent("0"), total.clone()] {
            assert_eq!(channel_of(channel, &odd), Channel::V1, "{odd:?}");
            assert!(matches!(read(encoded(channel, &odd).as_bytes()), Stored::Form), "{odd:?}");
        }
        assert_eq!(channel_of(channel, &intent("25")), channel);
        assert!(matches!(read(encoded(channel, &cancel).as_bytes()), Stored::Form));
    }
}

#[test]
fn stored_bytes_say_by_which_request_they_go() {
    let of = |channel| encoded(channel, &intent("25"));
    assert!(matches!(read(of(Channel::V1).as_bytes()), Stored::Form));
    assert!(matches!(read(of(Channel::V2).as_bytes()), Stored::Object));
    let object = of(Channel::V2);
    match read(of(Channel::Stream).as_bytes()) {
        Stored::Streamed(event) => assert_eq!(event.get(), object),
        other @ (Stored::Form | Stored::Object) => panic!("{other:?}"),
    }
    assert!(matches!(read(b""), Stored::Form));
}

#[test]
fn events_are_joined_unchanged_and_in_their_order() {
    let stored = ["{\"events\": [ {\"b\" : 2} ]}", "{\"events\":[{\"a\":\"%\"}]}"];
    let events: Vec<String> = stored
        .iter()
        .map(|body| match read(body.as_bytes()) {
            Stored::Streamed(event) => event.get().to_owned(),
            other @ (Stored::Form | Stored::Object) => panic!("{other:?}"),
        })
        .collect();
    let joined = String::from_utf8(joined(&events)).unwrap();
    assert_eq!(joined, "{\"events\":[{\"b\" : 2},{\"a\":\"%\"}]}");
}
