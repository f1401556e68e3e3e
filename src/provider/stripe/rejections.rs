//! Reports of events that were rejected after they had been accepted. PURE. Here: the whole of a
//! thin event becomes a report. Never here: what follows for the events that it names. Read next:
//! [`super::billing`].
//!
//! A report counts exactly and names only samples, or none. Of the request of a sample two forms
//! are about: one names the event, an older one the call's idempotency key.

use serde::Deserialize;

use super::classify::redacted;
use super::feeds::{ERROR_REPORT, NO_METER_FOUND};
use super::objects::{self, NoObject};
use super::prices::KnownMeters;
use crate::domain::answer::cut;
use crate::domain::billing::{RejectedEvent, RejectionReport};
use crate::domain::names::NoticeId;
use crate::domain::time::{Timestamp, Window};

/// Most samples that are taken from a report. Stripe publishes no figure; its examples have a few.
/// The count stays what it is.
const SAMPLES_MAX: usize = 1_000;
/// Longest name of a rejected event, in bytes: an idempotency key may be as long.
const NAME_BYTES_MAX: usize = 255;
/// Longest code, in bytes: the longest that is published has under 40.
const CODE_BYTES_MAX: usize = 100;

#[derive(Deserialize)]
struct Event {
    id: String,
    object: String,
    livemode: bool,
    #[serde(rename = "type")]
    kind: String,
    related_object: Option<Meter>,
    data: Data,
}

/// The object that it is about; an empty one where there is none.
#[derive(Deserialize)]
struct Meter {
    id: Option<String>,
}

#[derive(Deserialize)]
struct Data {
    validation_start: String,
    validation_end: String,
    reason: Reason,
}

#[derive(Deserialize)]
struct Reason {
    error_count: u64,
    #[serde(default)]
    error_types: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    code: String,
    #[serde(default)]
    sample_errors: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    error_message: Option<String>,
    request: Option<Request>,
}

#[derive(Deserialize)]
struct Request {
    identifier: Option<String>,
    idempotency_key: Option<String>,
}

/// What a report came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The report.
    pub report: RejectionReport,
    /// The id of its meter, when that is not known.
    pub stranger: Option<String>,
}

/// Reads the report that the notice `id` announced.
///
/// # Errors
/// When it is no report, another one, or of the other mode.
pub fn read(
    body: &[u8],
    id: &NoticeId,
    known: &KnownMeters,
    livemode: bool,
) -> Result<Found, NoObject> {
    let wrong = |why: &str| NoObject::unreadable(&format!("the report {id}"), why);
    let event: Event =
        serde_json::from_slice(body).map_err(|_| wrong("has not the form of one"))?;
    let is_report = [ERROR_REPORT, NO_METER_FOUND].contains(&event.kind.as_str());
    if event.object != "v2.core.event" || event.id != id.as_str() || !is_report {
        return Err(wrong("is something else"));
    }
    if event.livemode != livemode {
        return Err(NoObject::OtherMode("event"));
    }
    let time = |text: &str| {
        let at = Timestamp::parse_rfc3339(text).and_then(objects::admitted);
        at.ok_or_else(|| wrong("has a validation time that is none of this age"))
    };
    let (start, end) = (time(&event.data.validation_start)?, time(&event.data.validation_end)?);
    if start > end {
        return Err(wrong("has a validation_end before its validation_start"));
    }
    let reason = event.data.reason;
    let samples = reason.error_types.iter().flat_map(samples).take(SAMPLES_MAX).collect();
    let meter_id = event.related_object.and_then(|meter| meter.id);
    let meter = meter_id.as_deref().and_then(|id| known.of(id)).cloned();
    let stranger = meter_id.filter(|_| meter.is_none());
    let validated = Window { start, end };
    let report = RejectionReport { meter, validated, count: reason.error_count, samples };
    Ok(Found { report, stranger })
}

/// The samples of one code that name an event.
fn samples(part: &Part) -> impl Iterator<Item = RejectedEvent> {
    let bounded = |mut text: String| {
        text.truncate(text.floor_char_boundary(CODE_BYTES_MAX));
        cut(text)
    };
    part.sample_errors.iter().filter_map(move |sample| {
        let request = sample.request.as_ref()?;
        let name = request.identifier.as_ref().filter(|name| !name.is_empty());
        let name = name.or(request.idempotency_key.as_ref())?;
        Some(RejectedEvent {
            name: Some(name).filter(|name| can_name(name))?.clone(),
            code: bounded(redacted(&part.code)),
            message: cut(redacted(sample.error_message.as_deref().unwrap_or_default())),
        })
    })
}

/// Whether an event can be called so. What cannot is none of ours.
fn can_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::answer::MESSAGE_BYTES_MAX;
    use crate::domain::names::ProviderMeter;

    fn event() -> Value {
        let named = |name: Value, message: &str| json!({"request": name, "error_message": message});
        json!({
            "id": "evt_test_1", "object": "v2.core.event", "livemode": false,
            "created": "2026-09-21T14:13:20.000Z", "type": ERROR_REPORT,
            "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/x"},
            "data": {
                "developer_message_summary": "3 meter events were rejected",
                "validation_start": "2026-09-21T14:13:10.000Z",
                "validation_end": "2026-09-21T14:13:20.000Z",
                "reason": {"error_count": 40, "error_types": [
                    {"code": "no_meter", "error_count": 38, "sample_errors": [
                        named(json!({"identifier": "a"}), "No meter was found."),
                        named(json!({"id": "req_1", "idempotency_key": "b"}), "No."),
                    ]},
                    {"code": "archived_meter", "error_count": 2, "sample_errors": []},
                ]},
            },
        })
    }

    fn found(event: &Value) -> Result<Found, String> {
        let tokens = ProviderMeter::new("tokens").unwrap();
        let known = KnownMeters([("mtr_1".to_owned(), tokens)].into());
        let id = NoticeId::new("evt_test_1").unwrap();
        read(event.to_string().as_bytes(), &id, &known, false).map_err(|error| error.to_string())
    }

    fn changed(pointer: &str, value: Value) -> Value {
        let mut event = event();
        *event.pointer_mut(pointer).unwrap() = value;
        event
    }

    fn named(event: &Value) -> Vec<String> {
        let line = |it: &RejectedEvent| format!("{} {} {}", it.name, it.code, it.message);
        found(event).unwrap().report.samples.iter().map(line).collect()
    }

    const SAMPLE: &str = "/data/reason/error_types/0/sample_errors/0";

    #[test]
    fn a_report_counts_all_and_names_samples_in_both_forms() {
        let read = found(&event()).unwrap();
        assert_eq!(read.stranger, None);
        assert_eq!(read.report.meter.as_ref().map(ProviderMeter::as_str), Some("tokens"));
        assert_eq!(read.report.count, 40);
        let window = "[2026-09-21T14:13:10Z, 2026-09-21T14:13:20Z)";
        assert_eq!(read.report.validated.to_string(), window);
        assert_eq!(named(&event()), ["a no_meter No meter was found.", "b no_meter No."]);
        let none = changed("/data/reason/error_types", json!([]));
        assert_eq!(named(&none), [""; 0]);
    }

    #[test]
    fn a_report_without_a_known_meter_has_none() {
        for none in [Value::Null, json!({}), json!({"id": null})] {
            let mut event = changed("/related_object", none);
            event["type"] = json!(NO_METER_FOUND);
            let read = found(&event).unwrap();
            assert_eq!((read.report.meter, read.stranger), (None, None));
        }
        let read = found(&changed("/related_object/id", json!("mtr_2"))).unwrap();
        assert_eq!((read.report.meter, read.stranger), (None, Some("mtr_2".to_owned())));
        let mut bare = event();
        bare.as_object_mut().unwrap().remove("related_object");
        assert_eq!(found(&bare).unwrap().report.meter, None);
    }

    #[test]
    fn what_a_sample_says_is_cut_and_holds_no_key() {
        let long = "é".repeat(1_000);
        let event = changed(&format!("{SAMPLE}/error_message"), json!(long));
        assert!(found(&event).unwrap().report.samples[0].message.len() <= MESSAGE_BYTES_MAX);
        let secret = json!("No sk_test_canary\nhere.");
        let event = changed(&format!("{SAMPLE}/error_message"), secret);
        assert_eq!(named(&event)[0], "a no_meter No [key] here.");
        let event = changed("/data/reason/error_types/0/code", json!(long));
        assert_eq!(found(&event).unwrap().report.samples[0].code.len(), CODE_BYTES_MAX);
    }

    #[test]
    fn a_sample_that_names_no_event_is_left_out() {
        for request in [
            Value::Null,
            json!({}),
            json!({"id": "req_1"}),
            json!({"identifier": ""}),
            json!({"identifier": "a\nb"}),
            json!({"identifier": "a".repeat(256)}),
            json!({"identifier": null, "idempotency_key": ""}),
        ] {
            let event = changed(&format!("{SAMPLE}/request"), request);
            assert_eq!(named(&event), ["b no_meter No."]);
        }
        let both = json!({"identifier": "a", "id": "req_1", "idempotency_key": "c"});
        let event = changed(&format!("{SAMPLE}/request"), both);
        assert_eq!(named(&event)[0], "a no_meter No meter was found.");
        let sample = json!({"request": {"identifier": "a"}, "error_message": ""});
        let many = vec![sample; SAMPLES_MAX + 1];
        let event = changed("/data/reason/error_types/0/sample_errors", json!(many));
        assert_eq!(named(&event).len(), SAMPLES_MAX);
    }

    #[test]
    fn what_is_no_report_is_not_taken_for_one() {
        for (pointer, value, why) in [
            ("/id", json!("evt_test_2"), "is something else"),
            ("/object", json!("event"), "is something else"),
            ("/type", json!("v1.billing.meter.updated"), "is something else"),
            ("/livemode", json!(true), "another mode than the event"),
            ("/livemode", Value::Null, "has not the form"),
            ("/data", Value::Null, "has not the form"),
            ("/data/validation_start", json!("noon"), "validation time"),
            ("/data/validation_end", json!("1970-01-01T00:00:00Z"), "validation time"),
            ("/data/validation_end", json!("2026-09-21T14:13:09Z"), "before its validation_start"),
            ("/data/reason/error_count", json!(-1), "has not the form"),
            ("/data/reason/error_count", json!("many"), "has not the form"),
            ("/data/reason/error_types", json!({}), "has not the form"),
        ] {
            let error = found(&changed(pointer, value)).unwrap_err();
            assert!(error.contains(why), "{pointer}: {error}");
        }
    }
}
