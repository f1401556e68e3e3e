//! Lists. Here: the rows of event summaries and the pages of any list. Never here: the adding up;
//! that is [`super::tally`]. Read next: [`super::gate`].

use bigdecimal::BigDecimal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::meter::Meter;
use super::operation::{Page, SummaryQuery};
use super::refusal::Refusal;
use super::tally::Tally;

/// One row, with the id by which pages are turned.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) object: Value,
}

/// The rows of a summary, newest first.
///
/// Unconfirmed at Stripe, and therefore not to be leaned on: a range without usage gives one row of
/// zero when it is not grouped, and hours or days without usage give no row when it is.
pub(super) fn rows(meter: &Meter, tally: Option<&Tally>, query: &SummaryQuery) -> Vec<Row> {
    let range = query.start..query.end;
    let amounts: Vec<(i64, i64, BigDecimal)> = match (query.grouping, tally) {
        (None, tally) => {
            let amount = tally.map(|tally| tally.amount(&range)).unwrap_or_default();
            vec![(query.start, query.end, amount)]
        }
        (Some(_), None) => Vec::new(),
        (Some(window), Some(tally)) => {
            let groups = tally.groups(&range, window).into_iter().rev();
            groups.map(|(start, amount)| (start, start + window.seconds(), amount)).collect()
        }
    };
    let row = |(start, end, amount): (i64, i64, BigDecimal)| {
        let id = row_id(&meter.id, &query.customer, start, end);
        let object = json!({
            "id": id,
            "object": "billing.meter_event_summary",
            "aggregated_value": as_float(&amount),
            "end_time": end,
            "livemode": false,
            "meter": meter.id,
            "start_time": start,
        });
        Row { id, object }
    };
    amounts.into_iter().map(row).collect()
}

/// The only float in the house: Stripe's wire has one here, and reads of it lose digits.
fn as_float(amount: &BigDecimal) -> Value {
    let float: f64 = amount.to_plain_string().parse().expect("plain decimal text is a float");
    Value::from(float)
}

fn row_id(meter: &str, customer: &str, start: i64, end: i64) -> String {
    let digest = Sha256::digest(format!("{meter}\n{customer}\n{start}\n{end}"));
    format!("mtrusg_test_{}", hex::encode(digest.get(..12).unwrap_or_default()))
}

/// One page of `rows`, as a list object.
pub(super) fn page(rows: Vec<Row>, page: &Page, url: &str) -> Result<Value, Refusal> {
    let (rows, has_more) = cut(rows, |row| row.id.as_str(), page)?;
    let data: Vec<Value> = rows.into_iter().map(|row| row.object).collect();
    Ok(json!({ "object": "list", "data": data, "has_more": has_more, "url": url }))
}

/// The rows of one page, and whether there are more in the direction in which pages are turned.
pub(super) fn cut<T>(
    rows: Vec<T>,
    id_of: impl Fn(&T) -> &str,
    page: &Page,
) -> Result<(Vec<T>, bool), Refusal> {
    let place = |id: &String, param: &str| {
        let found = rows.iter().position(|row| id_of(row) == *id);
        found.ok_or_else(|| Refusal::no_reference("object in this list", id, param))
    };
    let (from, until) = match (&page.starting_after, &page.ending_before) {
        (Some(id), _) => {
            let from = place(id, "starting_after")? + 1;
            (from, rows.len().min(from + page.limit))
        }
        (None, Some(id)) => {
            let until = place(id, "ending_before")?;
            (until.saturating_sub(page.limit), until)
        }
        (None, None) => (0, rows.len().min(page.limit)),
    };
    let has_more = if page.ending_before.is_some() { from > 0 } else { until < rows.len() };
    Ok((rows.into_iter().take(until).skip(from).collect(), has_more))
}
