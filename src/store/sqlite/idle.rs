//! Idle times of subscriptions, in the ledger. Here: keeping those that begin or end. Never here:
//! what an answer makes of them (`domain::period`). Read next: [`super::billing`].

use std::collections::HashMap;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnection;

use super::billing::{Changed, Kept, Known};
use super::sql;
use crate::domain::names::ProviderName;
use crate::domain::period::{Period, learn_idle_times};
use crate::domain::time::{Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::billing::Learned;
use crate::store::codec::{Columns, ledger_error};

/// Keeps what was learned of idle times; answers each as a span that takes no usage, for every
/// meter of its subscription.
pub(super) async fn keep_idle_times(
    connection: &mut SqliteConnection,
    provider: &ProviderName,
    learned: &Learned,
    known: &Known,
) -> Result<Vec<Changed>, LedgerError> {
    let names: Vec<&str> = learned.subscriptions.iter().map(|told| told.id.as_str()).collect();
    let rows = sqlx::query(sql!("idle_times_open"))
        .bind(provider.as_str())
        .bind(json!(names).to_string())
        .fetch_all(&mut *connection)
        .await
        .map_err(ledger_error)?;
    let mut open: HashMap<i64, Vec<Timestamp>> = HashMap::new();
    for row in &rows {
        open.entry(row.integer("id")?).or_default().push(row.time("start_at")?);
    }
    let (mut rows, mut changed) = (Vec::new(), Vec::new());
    for told in &learned.subscriptions {
        let Some(number) = known.numbers.get(&told.id) else { continue };
        let open = open.get(number).map(Vec::as_slice).unwrap_or_default();
        for idle in learn_idle_times(open, told, learned.seen_at) {
            let end = idle.end.map(Timestamp::micros);
            rows.push(json!([told.account.as_str(), idle.start.micros(), number, end]));
            // What was used since it ended was taken to be of it, until now.
            let until = learned.seen_at.max(idle.start.plus_seconds(1));
            let span = Window { start: idle.start, end: until };
            let meters = known.kept.get(number).into_iter().flat_map(Kept::meters);
            changed.extend(meters.map(|meter| Changed {
                account: told.account.clone(),
                period: Period::without_usage(meter.clone(), span),
            }));
        }
    }
    if !rows.is_empty() {
        sqlx::query(sql!("idle_times_keep"))
            .bind(provider.as_str())
            .bind(Value::from(rows).to_string())
            .execute(connection)
            .await
            .map_err(ledger_error)?;
    }
    Ok(changed)
}
