//! What bodies come to, record by record.

use proptest::collection::vec as bytes;

use super::*;
use crate::domain::names::SourceName;
use crate::domain::time::Timestamp;
use crate::intake::admit::Sources;
use crate::intake::{Settings, SourceSettings};

const NOW: Timestamp = Timestamp::from_seconds(1_770_000_000);

fn settings() -> Settings {
    let zone = SourceSettings {
        name: SourceName::new("paris").unwrap(),
        zone_offset_seconds: Some(3_600),
        cloudevents: None,
    };
    Settings {
        batch_records_max: 4,
        record_bytes_max: 400,
        sources: vec![zone],
        ..Settings::default()
    }
}

fn read(body: &[u8], kind: BodyKind) -> Result<Batch, BodyError> {
    let settings = settings();
    let sources =
        Sources::These(vec![SourceName::new("api").unwrap(), SourceName::new("paris").unwrap()]);
    read_body(body, kind, &Rules { settings: &settings, sources: &sources, now: NOW })
}

/// What one record with `change` merged over the usual fields comes to.
fn judge(change: &str) -> Result<UsageRecord, String> {
    let mut fields = vec![
        (r#""source":"#, r#""api""#),
        (r#""id":"#, r#""r1""#),
        (r#""customer":"#, r#""acme""#),
        (r#""meter":"#, r#""requests""#),
        (r#""quantity":"#, "1"),
        (r#""time":"#, "1769903999"),
    ];
    fields.retain(|(name, _)| !change.contains(name));
    let fields: Vec<String> =
        fields.into_iter().map(|(name, value)| format!("{name}{value}")).collect();
    let body = format!("{{{},{change}}}", fields.join(","));
    let batch = read(body.as_bytes(), BodyKind::Json).map_err(|why| why.to_string())?;
    match batch.rejected.into_iter().next() {
        Some((_, rejected)) => Err(format!("{}: {}", rejected.field, rejected.reason)),
        None => Ok(batch.admitted.into_iter().next().unwrap().1.record),
    }
}

#[test]
fn a_quantity_is_taken_as_it_was_written() {
    for (written, quantity) in [
        ("0", "0"),
        ("1.50", "1.5"),
        ("\"1.50\"", "1.5"),
        ("1e3", "1000"),
        ("12345678901234567.000000000001", "12345678901234567.000000000001"),
        ("\"-0\"", "0"),
    ] {
        let record = judge(&format!("\"quantity\":{written}")).unwrap();
        assert_eq!(record.quantity.to_string(), quantity, "{written}");
    }
}

#[test]
fn what_is_no_quantity_is_refused_with_its_value() {
    for (written, reason) in [
        ("\"NaN\"", "quantity: \"NaN\" is not a decimal number"),
        ("\"\"", "quantity: is empty; a record of no usage says 0"),
        ("null", "quantity: is missing"),
        ("true", "quantity: is true or false, and must be a decimal number"),
        ("[1]", "quantity: is a list, and must be a decimal number"),
        ("1e400", "quantity: \"1e400\" has more than 30 digits, counting zeros before the point"),
        (
            "-5",
            "quantity: \"-5\" is below zero; to take usage back correct its record (tallyd cancel, \
             tallyd adjust, or POST /v1/usage/{source}/{id}/cancel or adjust)",
        ),
        (
            "1234567890123456789012345678901234567890",
            "quantity: \"1234567890123456789012345678901234567890\" has more than 30 digits, \
             counting zeros before the point",
        ),
    ] {
        assert_eq!(judge(&format!("\"quantity\":{written}")), Err(reason.to_owned()), "{written}");
    }
    let malformed = judge("\"quantity\":NaN").unwrap_err();
    assert!(malformed.starts_with("the body is not JSON: expected value at line 1 column"));
}

#[test]
fn a_time_is_read_in_every_form_that_says_which_instant_it_is() {
    for (written, expected) in [
        ("\"2026-01-31T23:59:59Z\"", "2026-01-31T23:59:59Z"),
        ("\"2026-01-31 23:59:59.25+02:00\"", "2026-01-31T21:59:59.250Z"),
        ("1769903999", "2026-01-31T23:59:59Z"),
        ("1769903999.1234567", "2026-01-31T23:59:59.123456Z"),
        ("\"1769903999.5\"", "2026-01-31T23:59:59.500Z"),
        ("1.769903999e9", "2026-01-31T23:59:59Z"),
    ] {
        let record = judge(&format!("\"time\":{written}")).unwrap();
        assert_eq!(record.occurred_at.to_rfc3339(), expected, "{written}");
    }
    let record = judge(r#""time":"2026-01-31T23:59:59","source":"paris""#).unwrap();
    assert_eq!(record.occurred_at.to_rfc3339(), "2026-01-31T22:59:59Z");
}

#[test]
fn a_time_that_could_be_another_instant_is_refused_with_the_forms() {
    for (written, reason) in [
        ("\"2026-01-31T23:59:59\"", "has no zone, and its source declares none"),
        ("\"yesterday\"", "\"yesterday\" is not a time that is taken, which is RFC 3339"),
        ("\"31/01/2026\"", "is not a time that is taken"),
        ("1769903999000", "lies after 2200-01-01T00:00:00Z; Unix times are seconds"),
        ("12", "1970-01-01T00:00:12Z lies before 2000-01-01T00:00:00Z"),
        ("1770086401", "lies too far ahead: at most 86400 seconds from now on"),
        ("true", "is true or false, and must be RFC 3339"),
    ] {
        let refused = judge(&format!("\"time\":{written}")).unwrap_err();
        assert!(refused.starts_with("time: ") && refused.contains(reason), "{refused}");
    }
}

#[test]
fn a_slip_in_a_field_is_named_and_never_loses_usage() {
    for (change, reason) in [
        ("\"quantiy\":5", "quantiy: is not a field of a record; did you mean \"quantity\"?"),
        ("\"value\":5", "value: is not a field of a record; did you mean \"quantity\"?"),
        (
            "\"colour\":5",
            "colour: is not a field of a record, which has source, id, customer, meter, quantity, \
             time, properties",
        ),
        (
            "\"\":5",
            "\"\": is not a field of a record, which has source, id, customer, meter, quantity, \
             time, properties",
        ),
        ("\"id\":\"a\",\"id\":\"b\"", "id: is there twice"),
        ("\"id\":12", "id: is a number, and must be a string"),
        ("\"id\":\" a\"", "id: \" a\" starts or ends with white space"),
        ("\"customer\":\"\"", "customer: is empty"),
        ("\"source\":\"web\"", "source: \"web\" is not one this sender may speak for"),
        ("\"source\":null", "source: is missing, and the sender speaks for several"),
        (
            "\"properties\":{\"a\":null}",
            "properties.a: is null, and must be a string, a number, true or false",
        ),
        ("\"properties\":{\"a\":1,\"a\":2}", "properties.a: is there twice"),
        ("\"properties\":[]", "properties: must be an object of strings, numbers, true and false"),
        ("\"properties\":{},\"properties\":{}", "properties: is there twice"),
    ] {
        assert_eq!(judge(change), Err(reason.to_owned()), "{change}");
    }
}

#[test]
fn properties_keep_what_was_written() {
    let record = judge(r#""properties":{"b":1.50,"a":"\u00e9","c":true}"#).unwrap();
    let properties: Vec<(&str, &str)> =
        record.properties.iter().map(|(name, value)| (name.as_str(), value.as_text())).collect();
    assert_eq!(properties, [("a", "é"), ("b", "1.50"), ("c", "true")]);
}

const GOOD: &str =
    r#"{"source":"api","id":"1","customer":"c","meter":"m","quantity":1,"time":1769903999}"#;

fn summary(body: &[u8], kind: BodyKind) -> Result<(usize, Vec<(String, String)>), BodyError> {
    read(body, kind).map(|batch| {
        let rejected = batch.rejected.into_iter().map(|(_, each)| (each.place, each.reason));
        (batch.admitted.len(), rejected.collect())
    })
}

#[test]
fn the_shape_of_a_body_is_seen_when_it_is_not_said() {
    let good = |body: String| summary(body.as_bytes(), BodyKind::Unsaid).unwrap();
    assert_eq!(good(GOOD.to_owned()), (1, vec![]));
    assert_eq!(good(GOOD.replace(',', ",\n")), (1, vec![]));
    assert_eq!(good(format!("[{GOOD},\n{GOOD}]")), (2, vec![]));
    assert_eq!(good(format!("\u{feff}{GOOD}\r\n\r\n{GOOD}\r\n")), (2, vec![]));
    assert_eq!(good("[]".to_owned()), (0, vec![]));
}

#[test]
fn a_bad_element_or_line_stands_alone() {
    let body = format!("[{GOOD}, 1e400, {{}}, {GOOD}]");
    let (good, bad) = summary(body.as_bytes(), BodyKind::Json).unwrap();
    let expected = [
        ("record 2".to_owned(), "is not a JSON object".to_owned()),
        ("record 3".to_owned(), "is missing, and the sender speaks for several".to_owned()),
    ];
    assert_eq!((good, bad.as_slice()), (2, expected.as_slice()));

    let mut body = format!("{GOOD}\n{{\"id\":\n\n{GOOD}\n").into_bytes();
    body.extend_from_slice(b"{\"id\":\"\xff\"}\n");
    let (good, bad) = summary(&body, BodyKind::Lines).unwrap();
    assert_eq!(good, 2);
    let places: Vec<&str> = bad.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["line 2", "line 5"]);
    assert_eq!(bad[1].1, "is not UTF-8 from its byte 7 on");
}

#[test]
fn a_record_too_long_is_rejected_alone_and_cut() {
    let long = GOOD.replace("\"c\"", &format!("\"{}\"", "x".repeat(500)));
    let (good, bad) = summary(format!("{GOOD}\n{long}").as_bytes(), BodyKind::Lines).unwrap();
    assert_eq!(good, 1);
    assert!(bad[0].1.ends_with("bytes long, and at most 400 are taken"), "{bad:?}");
}

#[test]
fn a_body_that_cannot_be_read_is_refused_whole() {
    for (body, kind, reason) in [
        (" \n", BodyKind::Unsaid, "the body is empty"),
        (
            "[1,",
            BodyKind::Json,
            "the body is not JSON: EOF while parsing a value at line 1 column 3",
        ),
        ("{}\n{}", BodyKind::Json, "the body is not JSON: trailing characters at line 2 column 1"),
        (
            "id,time",
            BodyKind::Unsaid,
            "the body is not JSON: it starts with neither { nor [ at line 1 column 1",
        ),
        (
            "[1,1,1,1,1]",
            BodyKind::Json,
            "the body holds more than 4 records; send them in several requests",
        ),
        (
            "1\n1\n1\n1\n1",
            BodyKind::Lines,
            "the body holds more than 4 records; send them in several requests",
        ),
    ] {
        assert_eq!(summary(body.as_bytes(), kind).unwrap_err().to_string(), reason, "{body:?}");
    }
    let not_text = summary(b"[\"\xff\"]", BodyKind::Json);
    assert_eq!(not_text.unwrap_err(), BodyError::NotUtf8(2));
}

#[test]
fn a_written_record_reads_back_as_itself() {
    let record =
        judge(r#""quantity":"0.10","properties":{"q\"":"a\\b","n":1e2,"f":false}"#).unwrap();
    let batch = read(write_record(&record).as_bytes(), BodyKind::Unsaid).unwrap();
    assert_eq!(batch.admitted[0].1.record, record);
}

proptest::proptest! {
    #[test]
    fn no_body_makes_the_reader_panic(body in bytes(proptest::num::u8::ANY, 0..200)) {
        for kind in [BodyKind::Json, BodyKind::Lines, BodyKind::Unsaid] {
            let _read = read(&body, kind);
        }
    }
}
