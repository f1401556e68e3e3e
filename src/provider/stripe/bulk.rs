//! Files that Stripe takes meter events from. PURE. Here: which events a file can tell, its rows,
//! made of stored bytes, and its limits. Never here: a file, or the choice of when. Read next:
//! [`crate::domain::export`].
//!
//! There are two ways in: the table that a person uploads in the dashboard, and JSON lines that
//! Stripe fetches from a bucket of the operator's. Rows of the table have no identifier. Whether
//! the identifiers of the lines are remembered together with those of requests is not documented:
//! they are written all the same, and no event goes both ways.
//!
//! Not confirmed of files, and so left to requests: values below zero, and totals of meters that
//! keep the last one. Fractions go into files as they go by version 1. Where a file's row is
//! refused all the same, Stripe says so in a file of errors; its event stays held.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::encode::json::{Stored, read};
use super::promises;
use super::settings::Channel;
use crate::domain::export::{Candidate, ExportForm, LeftOut};
use crate::domain::quantity::Quantity;
use crate::domain::time::Timestamp;
use crate::provider::ToldAs;

/// Longest table, in bytes: the dashboard takes 5 MB, and the smaller reading of that is kept.
const CSV_BYTES_MAX: u64 = 5_000_000;
/// Longest file of lines, in bytes: the bucket's may have 1 GB, likewise.
const JSONL_BYTES_MAX: u64 = 1_000_000_000;
/// Most lines of a file: Stripe asks for a new one at a million records.
const JSONL_ROWS_MAX: u64 = 1_000_000;

/// What one file may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes, its heading among them.
    pub bytes_max: u64,
    /// Most rows, without the heading.
    pub rows_max: u64,
}

/// What a file of this form may hold.
#[must_use]
pub const fn limits(form: ExportForm) -> Limits {
    match form {
        // No number of rows is published: the bytes bound it.
        ExportForm::StripeCsv => Limits { bytes_max: CSV_BYTES_MAX, rows_max: u64::MAX },
        ExportForm::StripeS3Jsonl => {
            Limits { bytes_max: JSONL_BYTES_MAX, rows_max: JSONL_ROWS_MAX }
        }
    }
}

/// What the names of such files end with.
#[must_use]
pub const fn extension(form: ExportForm) -> &'static str {
    match form {
        ExportForm::StripeCsv => "csv",
        ExportForm::StripeS3Jsonl => "jsonl",
    }
}

/// What is done with the files, as a sentence.
#[must_use]
pub const fn instructions(form: ExportForm) -> &'static str {
    match form {
        ExportForm::StripeCsv => {
            "upload each file once, in the dashboard: Billing, Meters, the meter, Add usage"
        }
        ExportForm::StripeS3Jsonl => {
            "put each file once into the bucket that the account's S3 connector reads; it looks \
             every 5 minutes"
        }
    }
}

/// A row of a file, with its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The heading of the file that it stands in, with its line end; empty where there is none.
    /// Rows under different headings stand in different files.
    pub heading: String,
    /// The row itself.
    pub line: String,
}

/// Why a file of this form is not to tell an event that waits, if so. `provider_now` is the
/// provider's clock.
///
/// # Errors
/// The reason.
pub fn judge(form: ExportForm, event: &Candidate, provider_now: Timestamp) -> Result<Row, LeftOut> {
    if let Some(why) = event.left_out(provider_now) {
        return Err(why);
    }
    let pin = event.pin.as_ref().ok_or(LeftOut::Meter)?;
    let promised = promises::of(pin, Some(pin), Channel::V1).map_err(|_| LeftOut::Meter)?;
    match promised.told_as {
        ToldAs::Delta | ToldAs::EachRecord => {}
        ToldAs::Entry | ToldAs::Level | ToldAs::Total | ToldAs::Last => return Err(LeftOut::Total),
    }
    if event.quantity.digits() > promised.digits_max
        || event.quantity.decimals() > promised.decimals_max
    {
        return Err(LeftOut::Digits);
    }
    row(form, event)
}

/// The row that tells an event: what its stored bytes say, and nothing that may have changed since
/// they were made.
///
/// # Errors
/// [`LeftOut::Unreadable`], when they do not say what is stored beside them.
pub fn row(form: ExportForm, event: &Candidate) -> Result<Row, LeftOut> {
    let said = Said::of(&event.body).ok_or(LeftOut::Unreadable)?;
    let seconds = event.occurred_at.seconds();
    let fits = said.identifier == event.identifier
        && said.event_name == event.meter.as_str()
        && said.seconds == seconds;
    let (customer_key, value_key, value) =
        said.keys(event).filter(|_| fits).ok_or(LeftOut::Unreadable)?;
    let account = event.account.as_str();
    match form {
        ExportForm::StripeCsv => Ok(Row {
            // That the customer's column is named by its key, as the value's is, is not confirmed
            // for a key of the operator's own; if it is not, the dashboard refuses the rows.
            heading: table_line(&[
                "timestamp",
                "event_name",
                &format!("payload_{customer_key}"),
                &format!("payload_{value_key}"),
            ]),
            line: table_line(&[&seconds.to_string(), &said.event_name, account, value]),
        }),
        ExportForm::StripeS3Jsonl => {
            let text = |text: &str| serde_json::Value::from(text).to_string();
            let line = format!(
                "{{\"identifier\":{},\"timestamp\":{seconds},\"event_name\":{},\"payload\":\
                 {{{}:{},{}:{}}}}}\n",
                text(&said.identifier),
                text(&said.event_name),
                text(customer_key),
                text(account),
                text(value_key),
                text(value),
            );
            Ok(Row { heading: String::new(), line })
        }
    }
}

/// A line of a table. What would end a field or a line is quoted.
fn table_line(fields: &[&str]) -> String {
    let field = |text: &&str| -> String {
        if text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            (*text).to_owned()
        }
    };
    let fields: Vec<String> = fields.iter().map(field).collect();
    format!("{}\n", fields.join(","))
}

/// What stored bytes say.
struct Said {
    identifier: String,
    event_name: String,
    seconds: i64,
    payload: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    identifier: String,
    event_name: String,
    timestamp: String,
    payload: BTreeMap<String, String>,
}

impl Said {
    /// Nothing where they are no event of usage.
    fn of(body: &[u8]) -> Option<Self> {
        match read(body) {
            Stored::Form => Self::of_form(body),
            Stored::Object => Self::of_object(body),
            Stored::Streamed(object) => Self::of_object(object.get().as_bytes()),
        }
    }

    fn of_object(body: &[u8]) -> Option<Self> {
        let Object { identifier, event_name, timestamp, payload } =
            serde_json::from_slice(body).ok()?;
        let seconds = Timestamp::parse_rfc3339(&timestamp)?.seconds();
        Some(Self { identifier, event_name, seconds, payload })
    }

    fn of_form(body: &[u8]) -> Option<Self> {
        let (mut identifier, mut event_name, mut seconds) = (None, None, None);
        let mut payload = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(body) {
            match name.as_ref() {
                "identifier" => identifier = Some(value.into_owned()),
                "event_name" => event_name = Some(value.into_owned()),
                "timestamp" => seconds = value.parse().ok(),
                other => {
                    let key = other.strip_prefix("payload[")?.strip_suffix(']')?;
                    payload.insert(key.to_owned(), value.into_owned());
                }
            }
        }
        Some(Self { identifier: identifier?, event_name: event_name?, seconds: seconds?, payload })
    }

    /// The keys of the customer and of the value, and the value's text. They are told by what
    /// stands under them, as the meter may have been changed since.
    fn keys(&self, event: &Candidate) -> Option<(&str, &str, &str)> {
        let mut pairs = self.payload.iter();
        let (Some(first), Some(second), None) = (pairs.next(), pairs.next(), pairs.next()) else {
            return None;
        };
        let is_customer = |(_, text): &(&String, &String)| text.as_str() == event.account.as_str();
        let is_value = |(_, text): &(&String, &String)| {
            Quantity::parse(text).is_ok_and(|value| value == event.quantity)
        };
        let (customer, value) = match (is_customer(&first), is_customer(&second)) {
            (true, false) => (first, second),
            (false, true) => (second, first),
            (true, true) | (false, false) => return None,
        };
        is_value(&value).then_some((customer.0, value.0, value.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::balance::BalanceId;
    use crate::domain::event::{EventId, EventIntent, EventKind, Identifier, Says};
    use crate::domain::names::{AccountName, ProviderMeter};
    use crate::domain::period::Billing;
    use crate::domain::provider_facts::{Formula, MeterPin, Span};
    use crate::provider::stripe::encode;

    const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn pin(value_key: &str) -> MeterPin {
        MeterPin {
            meter: ProviderMeter::new("tokens").unwrap(),
            id: None,
            formula: Formula::Sum,
            customer_key: "stripe_customer_id".to_owned(),
            value_key: value_key.to_owned(),
            span: None,
            active: true,
            learned: true,
        }
    }

    fn waiting(pin: MeterPin, account: &str, quantity: &str, channel: Channel) -> Candidate {
        let intent = EventIntent {
            balance: BalanceId(1),
            ordinal: 1,
            identifier: Identifier::stored("tallyd-00-ff"),
            says: Says::Usage,
            quantity: Quantity::parse(quantity).unwrap(),
            total: None,
            occurred_at: NOON.plus_micros(-7_200_999_999),
        };
        let account = AccountName::new(account).unwrap();
        Candidate {
            event: EventId(1),
            kind: EventKind::Usage,
            identifier: intent.identifier.to_string(),
            body: encode::body(&pin, &account, &intent, channel),
            account,
            meter: pin.meter.clone(),
            pin: Some(pin),
            quantity: intent.quantity,
            occurred_at: intent.occurred_at,
            deadline_at: NOON.plus_seconds(10 * 86_400),
            billing: Billing::default(),
            tried: false,
        }
    }

    #[test]
    fn the_rows_say_what_the_stored_bytes_say_whichever_request_they_are_of() {
        for channel in [Channel::V1, Channel::V2, Channel::Stream] {
            let event = waiting(pin("value"), "cus_1", "25", channel);
            let table = judge(ExportForm::StripeCsv, &event, NOON).unwrap();
            assert_eq!(
                table.heading,
                "timestamp,event_name,payload_stripe_customer_id,payload_value\n"
            );
            assert_eq!(table.line, "1789992799,tokens,cus_1,25\n");
            let line = judge(ExportForm::StripeS3Jsonl, &event, NOON).unwrap();
            assert_eq!(line.heading, "");
            assert_eq!(
                line.line,
                "{\"identifier\":\"tallyd-00-ff\",\"timestamp\":1789992799,\"event_name\":\
                 \"tokens\",\"payload\":{\"stripe_customer_id\":\"cus_1\",\"value\":\"25\"}}\n"
            );
        }
    }

    #[test]
    fn what_would_break_a_table_is_quoted_and_a_key_of_ones_own_names_its_column() {
        let mut meter = pin("tokens, in");
        meter.meter = ProviderMeter::new("a \"b\", c").unwrap();
        let event = waiting(meter, "cus_1", "0.5", Channel::V1);
        let table = row(ExportForm::StripeCsv, &event).unwrap();
        assert_eq!(
            table.heading,
            "timestamp,event_name,payload_stripe_customer_id,\"payload_tokens, in\"\n"
        );
        assert_eq!(table.line, "1789992799,\"a \"\"b\"\", c\",cus_1,0.5\n");
    }

    #[test]
    fn what_a_file_is_not_to_tell_is_left_out_by_its_reason() {
        let good = || waiting(pin("value"), "cus_1", "25", Channel::V1);
        let check = |event: Candidate, why: LeftOut| {
            for form in ExportForm::ALL {
                assert_eq!(judge(*form, &event, NOON), Err(why), "{event:?}");
            }
        };
        check(Candidate { tried: true, ..good() }, LeftOut::Tried);
        check(Candidate { kind: EventKind::Cancel, ..good() }, LeftOut::Cancel);
        check(waiting(pin("value"), "cus_1", "0", Channel::V1), LeftOut::Zero);
        check(waiting(pin("value"), "cus_1", "-25", Channel::V1), LeftOut::Negative);
        check(waiting(pin("value"), "cus_1", "1234567890123456", Channel::V1), LeftOut::Digits);
        let last = MeterPin { span: Some(Span::Hour), ..pin("value") };
        check(Candidate { pin: Some(last), ..good() }, LeftOut::Total);
        let gone = MeterPin { active: false, ..pin("value") };
        check(Candidate { pin: Some(gone), ..good() }, LeftOut::Meter);
        check(Candidate { pin: None, ..good() }, LeftOut::Meter);
        let late = NOON.plus_seconds(86_399);
        check(Candidate { deadline_at: late, ..good() }, LeftOut::Old);
        let billing = Billing { closes_at: Some(late), ..Billing::default() };
        check(Candidate { billing, ..good() }, LeftOut::Period);
        check(Candidate { body: b"x=1".to_vec(), ..good() }, LeftOut::Unreadable);
        check(Candidate { identifier: "other".to_owned(), ..good() }, LeftOut::Unreadable);
        check(Candidate { quantity: Quantity::one(), ..good() }, LeftOut::Unreadable);
    }

    #[test]
    fn a_row_depends_on_no_meter_that_may_have_changed() {
        let event = waiting(pin("value"), "cus_1", "25", Channel::V1);
        let changed = Candidate { pin: None, ..event.clone() };
        for form in ExportForm::ALL {
            assert_eq!(row(*form, &changed), row(*form, &event));
        }
    }
}
