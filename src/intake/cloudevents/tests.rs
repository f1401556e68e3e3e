//! What CloudEvents come to, attribute by attribute.

use super::*;
use crate::intake::admit::Sources;
use crate::intake::json::{BodyError, BodyKind, read_body, write_record};
use crate::intake::{Settings, SourceSettings};

const NOW: Timestamp = Timestamp::from_seconds(1_770_000_000);
/// The parts of an event that every test has, unless it says others.
const USUAL: [(&str, &str); 7] = [
    ("\"specversion\":", "\"1.0\""),
    ("\"id\":", "\"e1\""),
    ("\"source\":", "\"/gateway/eu\""),
    ("\"subject\":", "\"acme\""),
    ("\"type\":", "\"requests\""),
    ("\"time\":", "\"2026-01-31T23:59:59Z\""),
    ("\"data\":", "{\"value\":1}"),
];

fn source_named(name: &str) -> SourceName {
    SourceName::new(name).unwrap()
}

fn read(body: &str, kind: BodyKind, sources: &Sources) -> Result<Batch, BodyError> {
    let zone = SourceSettings {
        name: source_named("paris"),
        zone_offset_seconds: Some(3_600),
        cloudevents: Some("https://paris.example/usage".to_owned()),
    };
    let settings = Settings {
        batch_records_max: 3,
        properties_max: 2,
        record_bytes_max: 400,
        sources: vec![zone],
        ..Settings::default()
    };
    read_body(body.as_bytes(), kind, &Rules { settings: &settings, sources, now: NOW })
}

fn speaks_for() -> Sources {
    Sources::These(vec![source_named("/gateway/eu"), source_named("paris")])
}

fn event(change: &str) -> String {
    let usual = USUAL.iter().filter(|(name, _)| !change.contains(name));
    let mut members: Vec<String> = usual.map(|(name, value)| format!("{name}{value}")).collect();
    members.extend(Some(change.to_owned()).filter(|change| !change.is_empty()));
    format!("{{{}}}", members.join(","))
}

/// What one event with `change` merged over the usual parts comes to.
fn judge(change: &str) -> Result<UsageRecord, String> {
    let batch = read(&event(change), BodyKind::Event, &speaks_for());
    let batch = batch.map_err(|why| why.to_string())?;
    match batch.rejected.into_iter().next() {
        Some((_, rejected)) => Err(format!("{}: {}", rejected.field, rejected.reason)),
        None => Ok(batch.admitted.into_iter().next().unwrap().1.record),
    }
}

fn refused(change: &str, reason: &str) {
    assert_eq!(judge(change), Err(reason.to_owned()), "{change}");
}

#[test]
fn an_event_is_a_record_with_its_digits_as_they_were_written() {
    let data =
        r#""data":{"value":12345678901234567.000000000001,"model":"gpt","n":1.50,"hit":true}"#;
    refused(data, "data: has 3 properties, and at most 2 are taken");
    let record = judge(&data.replace(r#","hit":true"#, "")).unwrap();
    assert_eq!(
        write_record(&record),
        concat!(
            r#"{"source":"/gateway/eu","id":"e1","customer":"acme","meter":"requests","#,
            r#""quantity":"12345678901234567.000000000001","time":"2026-01-31T23:59:59Z","#,
            r#""properties":{"model":"gpt","n":1.50}}"#
        )
    );
    for (data, quantity) in [
        (r#"{"quantity":"1.50"}"#, "1.5"),
        (r#"{"value":"12"}"#, "12"),
        (r#"{"quantity":null,"value":1e3}"#, "1000"),
        (r#"{"value":null,"quantity":0}"#, "0"),
    ] {
        let record = judge(&format!("\"data\":{data}")).unwrap();
        assert_eq!(record.quantity.to_string(), quantity, "{data}");
    }
}

#[test]
fn a_retry_with_another_trace_says_the_same() {
    let first = judge(r#""traceparent":"00-0af7","sequence":1,"dataschema":"/v1""#).unwrap();
    let again = judge(r#""traceparent":"00-b7ad","tracestate":{"a":1},"subject":"acme""#).unwrap();
    assert_eq!((first.identity(), first.content()), (again.identity(), again.content()));
    assert_eq!(first, judge("").unwrap());
}

#[test]
fn events_of_two_sources_are_never_one_record() {
    let identities = [
        judge("").unwrap().identity(),
        judge(r#""source":"https://paris.example/usage""#).unwrap().identity(),
    ];
    assert_ne!(identities[0], identities[1]);
    let named = judge(r#""source":"https://paris.example/usage""#).unwrap();
    assert_eq!(named.source.as_str(), "paris");
    refused(
        r#""source":"paris""#,
        "source: \"paris\" names a source whose events say \"https://paris.example/usage\" instead",
    );
}

#[test]
fn an_event_whose_source_cannot_be_told_is_refused() {
    let of_one = Sources::These(vec![source_named("/gateway/eu")]);
    for (source, reason) in [
        ("null", "is missing: with the id it is the event's name"),
        ("7", "is a number, and must be a string"),
        ("\"\"", "is empty"),
        ("\"/gateway/us\"", "\"/gateway/us\" is not one this sender may speak for"),
        (
            "\"https://paris.example/usage\"",
            "\"https://paris.example/usage\" is not one this sender may speak for",
        ),
    ] {
        let event = event(&format!("\"source\":{source}"));
        let batch = read(&event, BodyKind::Event, &of_one).unwrap();
        let rejected = &batch.rejected[0].1;
        assert_eq!((rejected.field.as_str(), rejected.reason.as_str()), ("source", reason));
    }
    let long = judge(&format!("\"source\":\"/{}\"", "x".repeat(200))).unwrap_err();
    assert!(long.contains("can give it a name by `cloudevents`"), "{long}");
    let any = read(&event(r#""source":"urn:x:y""#), BodyKind::Event, &Sources::Any).unwrap();
    assert_eq!(any.admitted[0].1.record.source.as_str(), "urn:x:y");
}

#[test]
fn what_is_no_event_of_this_version_is_refused_for_that_first() {
    for (change, reason) in [
        ("\"specversion\":\"0.3\",\"Data\":1", "specversion: is \"0.3\", and must be \"1.0\""),
        ("\"specversion\":null", "specversion: is missing, and must be \"1.0\""),
        ("\"specversion\":1.0", "specversion: is a number, and must be \"1.0\""),
        ("\"id\":\"a\",\"id\":\"b\"", "id: is there twice"),
        ("\"data\":{},\"data\":{}", "data: is there twice"),
        (
            "\"data_content_type\":\"a\"",
            "data_content_type: is not the name of an attribute, which has small letters and \
             digits only; what shall be kept of an event stands in its data",
        ),
        (
            "\"\":1",
            "\"\": is not the name of an attribute, which has small letters and digits only; what \
             shall be kept of an event stands in its data",
        ),
        (
            "\"data_base64\":\"e30=\"",
            "data_base64: is not taken: data has to be a JSON object with the quantity in it",
        ),
        (
            "\"datacontenttype\":\"text/csv\"",
            "datacontenttype: is \"text/csv\", and must be application/json",
        ),
        ("\"datacontenttype\":1", "datacontenttype: is a number, and must be a string"),
    ] {
        refused(change, reason);
    }
    for kind in ["Application/JSON; charset=utf-8", "application/vnd.acme.usage+json"] {
        assert!(judge(&format!("\"datacontenttype\":\"{kind}\"")).is_ok(), "{kind}");
    }
    assert!(judge("\"datacontenttype\":null,\"data_base64\":null").is_ok());
}

#[test]
fn what_is_wrong_is_said_in_the_words_of_the_event() {
    for (change, reason) in [
        ("\"id\":7", "id: is a number, and must be a string"),
        ("\"subject\":null", "subject: is missing"),
        ("\"subject\":\" a\"", "subject: \" a\" starts or ends with white space"),
        ("\"type\":\"\"", "type: is empty"),
        ("\"time\":null", "time: is missing; when the event came in is not taken for it"),
        (
            "\"time\":1769903999",
            "time: is a number, and must be RFC 3339, such as \"2026-01-31T23:59:59Z\"",
        ),
        (
            "\"time\":\"1769903999\"",
            "time: \"1769903999\" is not RFC 3339, such as 2026-01-31T23:59:59Z",
        ),
        ("\"data\":null", "data: is null, and must be an object"),
        ("\"data\":\"{}\"", "data: is a string, and must be an object"),
        (
            "\"data\":{\"tokens\":5}",
            "data.quantity: is missing, and so is data.value; an event that is only counted has 1",
        ),
        (
            "\"data\":{\"value\":5,\"quantity\":5}",
            "data.value: is there beside data.quantity, and only one of them can count",
        ),
        ("\"data\":{\"value\":5,\"value\":5}", "data.value: is there twice"),
        ("\"data\":{\"value\":\"many\"}", "data.value: \"many\" is not a decimal number"),
        ("\"data\":{\"quantity\":[1]}", "data.quantity: is a list, and must be a decimal number"),
        (
            "\"data\":{\"value\":1,\"a\":{}}",
            "data.a: is an object, and must be a string, a number, true or false",
        ),
        ("\"data\":{\"value\":1,\"a\":1,\"a\":1}", "data.a: is there twice"),
    ] {
        refused(change, reason);
    }
    let below = judge("\"data\":{\"value\":-1}").unwrap_err();
    assert!(below.starts_with("data.value: \"-1\" is below zero; to take usage back"), "{below}");
    let zoneless = judge("\"time\":\"2026-01-31T23:59:59\"").unwrap_err();
    assert!(zoneless.contains("has no zone, and its source declares none"), "{zoneless}");
    let of_paris = "\"time\":\"2026-01-31T23:59:59\",\"source\":\"https://paris.example/usage\"";
    assert_eq!(judge(of_paris).unwrap().occurred_at.to_rfc3339(), "2026-01-31T22:59:59Z");
}

#[test]
fn a_missing_part_is_named_as_a_wrong_one_is() {
    for (left_out, field) in [
        ("specversion", "specversion"),
        ("id", "id"),
        ("source", "source"),
        ("subject", "subject"),
        ("type", "type"),
        ("time", "time"),
        ("data", "data"),
    ] {
        let mark = format!("\"{left_out}\":");
        let parts = USUAL.iter().filter(|(name, _)| *name != mark);
        let parts: Vec<String> = parts.map(|(name, value)| format!("{name}{value}")).collect();
        let body = format!("{{{}}}", parts.join(","));
        let batch = read(&body, BodyKind::Event, &speaks_for()).unwrap();
        let rejected = &batch.rejected[0].1;
        assert_eq!(rejected.field, field);
        assert!(rejected.reason.starts_with("is missing"), "{rejected:?}");
    }
}

#[test]
fn a_bad_event_stands_alone_in_its_batch() {
    let long = event(&format!("\"subject\":\"{}\"", "x".repeat(400)));
    let body = format!("[{}, 7, {long}]", event(""));
    let batch = read(&body, BodyKind::Events, &speaks_for()).unwrap();
    assert_eq!(batch.admitted.len(), 1);
    let told: Vec<String> = batch
        .rejected
        .iter()
        .map(|(place, item)| format!("{place}: {} {}", item.field, item.reason))
        .collect();
    let length = long.len();
    assert_eq!(
        told,
        [
            "record 2: event is not a JSON object".to_owned(),
            format!("record 3: event is {length} bytes long, and at most 400 are taken"),
        ]
    );
    let unfit = read(&format!("[{}]", event("\"time\":1")), BodyKind::Events, &speaks_for());
    let kept = unfit.unwrap().rejected.remove(0).1;
    assert_eq!((kept.id.as_deref(), kept.raw), (Some("e1"), event("\"time\":1")));
}

#[test]
fn a_body_of_another_shape_than_was_announced_is_refused_whole() {
    let event = event("");
    let many = format!("[{}]", [event.as_str(); 4].join(","));
    for (body, kind, reason) in [
        (format!("[{event}]"), BodyKind::Event, "application/cloudevents+json is one event"),
        (event, BodyKind::Events, "application/cloudevents-batch+json is an array of events"),
        (many, BodyKind::Events, "the body holds more than 3 records"),
        ("{}".to_owned(), BodyKind::OtherEvents, "CloudEvents are taken as application/clou"),
        ("nonsense".to_owned(), BodyKind::Event, "the body is not JSON"),
    ] {
        let why = read(&body, kind, &speaks_for()).unwrap_err().to_string();
        assert!(why.starts_with(reason), "{why}");
    }
    assert_eq!(read("[]", BodyKind::Events, &speaks_for()).unwrap().len(), 0);
}

#[test]
fn a_content_type_says_what_the_body_holds() {
    for (said, kind) in [
        ("application/cloudevents+json; charset=utf-8", BodyKind::Event),
        ("Application/CloudEvents-Batch+JSON", BodyKind::Events),
        ("application/cloudevents+avro", BodyKind::OtherEvents),
        ("application/cloudevents-batch+protobuf", BodyKind::OtherEvents),
        ("application/json", BodyKind::Json),
    ] {
        assert_eq!(BodyKind::of(Some(said)), kind, "{said}");
    }
}

proptest::proptest! {
    #[test]
    fn no_event_makes_the_reader_panic(value in "\\PC{0,40}", at in 0..USUAL.len()) {
        let written = serde_json::Value::from(value.as_str()).to_string();
        for written in [written, value] {
            let _judged = judge(&format!("{}{written}", USUAL[at].0));
        }
    }
}
