//! What is known of a provider, from its rows. Here: its pin, clock, pause and meters as values.
//! Never here: a statement; what follows from them. Read next: [`crate::domain::provider_facts`].

use sqlx::sqlite::SqliteRow;

use crate::domain::names::ProviderMeter;
use crate::domain::provider_facts::{AccountPin, ClockReading, Formula, MeterPin, Span};
use crate::ledger::LedgerError;
use crate::ledger::delivery::ProviderFacts;
use crate::store::codec::Columns;

pub(super) fn provider_facts(row: &SqliteRow) -> Result<ProviderFacts, LedgerError> {
    let pin = match row.maybe_integer("livemode")? {
        Some(livemode) => {
            Some(AccountPin { account: row.maybe_text("account")?, livemode: livemode != 0 })
        }
        None => None,
    };
    let clock = match (row.maybe_time("clock_provider_at")?, row.maybe_time("clock_local_at")?) {
        (Some(provider_at), Some(local_at)) => Some(ClockReading { provider_at, local_at }),
        (None, _) | (_, None) => None,
    };
    let pause = match (row.maybe_text("pause_reason")?, row.maybe_time("paused_at")?) {
        (Some(reason), Some(at)) => Some((reason, at)),
        (None, _) | (_, None) => None,
    };
    Ok(ProviderFacts { pin, clock, pause, meters: Vec::new() })
}

/// What is pinned of a meter, whose own number at the provider stands in the column `id`.
pub(in crate::store::sqlite) fn meter_pin(
    row: &SqliteRow,
    id: &str,
) -> Result<MeterPin, LedgerError> {
    Ok(MeterPin {
        meter: row.name("meter", ProviderMeter::new)?,
        id: row.maybe_text(id)?,
        formula: row.member("formula", Formula::parse)?,
        customer_key: row.text("customer_key")?,
        value_key: row.text("value_key")?,
        span: row.maybe_member("span", Span::parse)?,
        active: row.flag("active")?,
        learned: row.flag("learned")?,
    })
}
