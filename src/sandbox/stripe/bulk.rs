//! Files of usage. Here: the table that a person uploads in the dashboard, and the JSON lines that
//! are fetched from a bucket, each row judged as an event of version 1 is. Never here: requests
//! ([`super::perform`]). Read next: [`super::checks`].
//!
//! Whether identifiers in files and in requests are remembered together, and whether a file that
//! comes twice counts twice, is not published. Here nothing of a file is known again, which is the
//! reading that shows who tells usage both ways.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::checks::{Rules, check};
use super::gate::Stripe;
use super::ledger::Accepted;
use super::operation::NewEvent;
use super::perform::Account;
use crate::domain::time::Timestamp;

/// Longest table, in bytes: the dashboard's 5 MB, read strictly.
const CSV_BYTES_MAX: usize = 5_000_000;
/// What stands before a payload key in a heading of the table.
const PAYLOAD: &str = "payload_";

/// What became of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Rows that were taken.
    pub accepted: u64,
    /// Rows that were refused, by their numbers from 1, without the heading; and why.
    pub refused: Vec<(usize, String)>,
}

/// A JSON line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    event_name: String,
    timestamp: i64,
    identifier: Option<String>,
    payload: BTreeMap<String, Value>,
}

/// A payload's value.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(serde_json::Number),
}

impl Stripe {
    /// Takes a file: JSON lines where it begins as one, else a table.
    pub(in crate::sandbox) fn take_file(
        &mut self,
        body: &[u8],
        now: Timestamp,
    ) -> Result<FileReport, String> {
        let rows = if body.first() == Some(&b'{') { lines(body) } else { table(body)? };
        if rows.is_empty() {
            return Err("the file has no rows".to_owned());
        }
        let mut report = FileReport::default();
        self.account.settle(now);
        for (at, row) in rows.into_iter().enumerate() {
            match row.and_then(|event| self.account.take_row(&event, now)) {
                Ok(()) => report.accepted += 1,
                Err(why) => report.refused.push((at + 1, why)),
            }
        }
        Ok(report)
    }
}

impl Account {
    fn take_row(&mut self, event: &NewEvent, now: Timestamp) -> Result<(), String> {
        let timestamp = event.timestamp.unwrap_or_else(|| now.seconds());
        // A name that no request knows.
        let identifier = self.identifier_of(&NewEvent { identifier: None, ..event.clone() });
        let sound = check(&self.meters, event, Rules::V1, timestamp, now)
            .map_err(|fault| fault.in_v1().message().to_owned())?;
        let accepted = Accepted {
            meter: sound.meter,
            customer: sound.customer,
            value: sound.value,
            identifier: &identifier,
            timestamp,
            doom: None,
            request: 0,
            key: None,
        };
        let due_at = self.due_at(now);
        self.directory.name(&self.settings.customers, sound.customer, now);
        self.ledger.book(&accepted, now, due_at);
        Ok(())
    }
}

fn lines(body: &[u8]) -> Vec<Result<NewEvent, String>> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let Line { event_name, timestamp, identifier, payload } =
                serde_json::from_slice(line).map_err(|why| why.to_string())?;
            let text = |value| match value {
                Value::Text(text) => text,
                Value::Number(number) => number.to_string(),
            };
            let payload = payload.into_iter().map(|(key, value)| (key, text(value))).collect();
            Ok(NewEvent { event_name, payload, identifier, timestamp: Some(timestamp) })
        })
        .collect()
}

fn table(body: &[u8]) -> Result<Vec<Result<NewEvent, String>>, String> {
    if body.len() > CSV_BYTES_MAX {
        return Err(format!("the file is longer than {CSV_BYTES_MAX} bytes"));
    }
    let mut reader = csv::Reader::from_reader(body);
    let headings = reader.headers().map_err(|why| why.to_string())?.clone();
    let known =
        |name: &str| name == "timestamp" || name == "event_name" || name.starts_with(PAYLOAD);
    if let Some(unknown) = headings.iter().find(|name| !known(name)) {
        return Err(format!("the column {unknown:?} is none of a meter event"));
    }
    let rows = reader.records().map(|record| {
        let record = record.map_err(|why| why.to_string())?;
        let (mut event_name, mut timestamp, mut payload) = (None, None, BTreeMap::new());
        for (name, text) in headings.iter().zip(&record) {
            match name {
                "event_name" => event_name = Some(text.to_owned()),
                "timestamp" => timestamp = Some(instant(text)?),
                other => {
                    let key = other.strip_prefix(PAYLOAD).unwrap_or(other);
                    payload.insert(key.to_owned(), text.to_owned());
                }
            }
        }
        let event_name = event_name.ok_or_else(|| "there is no event_name".to_owned())?;
        Ok(NewEvent { event_name, payload, identifier: None, timestamp })
    });
    Ok(rows.collect())
}

fn instant(text: &str) -> Result<i64, String> {
    let written = || Timestamp::parse_rfc3339(text).map(Timestamp::seconds);
    let seconds = text.parse().ok().or_else(written);
    seconds.ok_or_else(|| format!("the timestamp {text:?} is none"))
}
