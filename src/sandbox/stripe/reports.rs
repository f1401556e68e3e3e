//! Reports of what was rejected after it had been accepted. Here: counts by window and code, and
//! samples. Never here: why an event is rejected. Read next: [`super::announcements`].
//!
//! A report covers ten seconds of one meter. Its counts are exact; of the events it names at most
//! ten a code, so that nobody can tell from reports alone which events were lost.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::ledger::{Rejection, RejectionCode};
use super::meter::{MeterIndex, Meters};
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};

/// What one report covers, in microseconds: ten seconds in every published example.
const WINDOW_MICROS: i64 = 10 * MICROS_PER_SECOND;
/// Samples of one code in one report. Stripe publishes no figure; this is enough for a small fault
/// to be named whole, and too few for a large one.
const SAMPLES_MAX: usize = 10;

/// The events by which rejections are told.
const ERROR_REPORT: &str = "v1.billing.meter.error_report_triggered";
const NO_METER_FOUND: &str = "v1.billing.meter.no_meter_found";

/// One code's part of a report.
#[derive(Debug, Default)]
struct Part {
    count: u64,
    /// The samples by their draw; the lowest are kept, whatever order they come in.
    samples: BTreeMap<[u8; 8], Value>,
}

/// A report while its window is open: by code, in the order of their names.
type Parts = BTreeMap<&'static str, Part>;

/// A report whose window has closed.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) name: &'static str,
    pub(super) meter: Option<String>,
    pub(super) data: Value,
}

/// The reports whose windows are open, by the window's start and the meter, if there is one.
#[derive(Debug, Default)]
pub(super) struct Reports {
    open: BTreeMap<(Timestamp, Option<MeterIndex>), Parts>,
}

impl Reports {
    /// Adds one rejection. `seed` decides which events are named, and in which of the two forms
    /// that are about.
    pub(super) fn add(&mut self, rejection: &Rejection, seed: u64) {
        let meter = match rejection.code {
            RejectionCode::NoMeter => None,
            RejectionCode::MeterEventCustomerNotFound
            | RejectionCode::MeterEventInvalidValue
            | RejectionCode::ArchivedMeter
            | RejectionCode::MeterEventNoCustomerDefined
            | RejectionCode::MeterEventValueNotFound
            | RejectionCode::MeterEventValueTooManyDigits
            | RejectionCode::TimestampTooFarInPast
            | RejectionCode::TimestampInFuture => rejection.meter,
        };
        let window = (rejection.at.floor_to(WINDOW_MICROS), meter);
        let part = self.open.entry(window).or_default().entry(rejection.code.name()).or_default();
        part.count += 1;
        let mut hash = Sha256::new();
        hash.update(seed.to_be_bytes());
        hash.update(rejection.identifier.as_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let mut draw = [0; 8];
        draw.copy_from_slice(&digest[..8]);
        part.samples.insert(draw, sample(rejection, digest[8].is_multiple_of(2)));
        if part.samples.len() > SAMPLES_MAX {
            part.samples.pop_last();
        }
    }

    /// When the next window closes.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let ((start, _), _) = self.open.first_key_value()?;
        Some(start.plus_micros(WINDOW_MICROS))
    }

    /// Closes the window that closes first.
    pub(super) fn close_first(&mut self, meters: &Meters) -> Option<Report> {
        let ((start, meter), parts) = self.open.pop_first()?;
        let meter = meter.and_then(|index| meters.all.get(index)).map(|meter| meter.id.clone());
        let count: u64 = parts.values().map(|part| part.count).sum();
        let types = parts.into_iter().map(|(code, part)| {
            json!({
                "code": code,
                "error_count": part.count,
                "sample_errors": part.samples.into_values().collect::<Vec<Value>>(),
            })
        });
        let data = json!({
            "developer_message_summary": format!("{count} meter events were rejected"),
            "reason": { "error_count": count, "error_types": types.collect::<Vec<Value>>() },
            "validation_end": start.plus_micros(WINDOW_MICROS).to_rfc3339(),
            "validation_start": start.to_rfc3339(),
        });
        let name = if meter.is_some() { ERROR_REPORT } else { NO_METER_FOUND };
        Some(Report { name, meter, data })
    }
}

/// One rejected event. Two forms of its request are about: the schema's own, and one of older
/// examples, which names the call instead of the event.
fn sample(rejection: &Rejection, is_old: bool) -> Value {
    let identifier = &rejection.identifier;
    let request = if is_old {
        json!({
            "id": format!("req_sandbox{:012}", rejection.request),
            "idempotency_key": rejection.key.as_deref().unwrap_or(identifier),
        })
    } else {
        json!({ "identifier": identifier.as_ref() })
    };
    let message = match rejection.code {
        RejectionCode::NoMeter => {
            format!("No meter was found matching event_name {}.", rejection.event_name)
        }
        RejectionCode::MeterEventCustomerNotFound => {
            format!("No customer was found matching {}.", rejection.customer)
        }
        RejectionCode::MeterEventInvalidValue => "The value is not a number.".to_owned(),
        RejectionCode::ArchivedMeter => "The meter is not active.".to_owned(),
        RejectionCode::MeterEventNoCustomerDefined => {
            "Customer mapping key not found in payload.".to_owned()
        }
        RejectionCode::MeterEventValueNotFound => "Value key not found in payload.".to_owned(),
        RejectionCode::MeterEventValueTooManyDigits => "The value has too many digits.".to_owned(),
        RejectionCode::TimestampTooFarInPast => "The timestamp is too far in past.".to_owned(),
        RejectionCode::TimestampInFuture => "The timestamp is in the future.".to_owned(),
    };
    json!({ "error_message": message, "request": request })
}
