//! What both sides hold. Here: the entries as the stand-in lists them, and the ledger's own events
//! and balances. Never here: whether they agree. Read next: [`super::told`].
//!
//! The ledger is read as the file that it is: nothing of tallyd's is between.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions as _, Row as _, SqliteConnection};

use crate::compare::text;
use crate::daemon::Home;
use crate::provider::Provider;
use crate::record::{Place, thousandths};

/// What has become of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is going to be billed.
    Counts,
    /// It is on a closed invoice.
    Invoiced,
    /// It is stored, and nothing bills it.
    Unbilled,
    /// It was taken away.
    Gone,
}

impl Fate {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "counts" => Self::Counts,
            "invoiced" => Self::Invoiced,
            "unbilled" => Self::Unbilled,
            "deleted" | "destroyed" => Self::Gone,
            _ => return None,
        })
    }

    /// Whether the entry is there.
    pub(super) const fn is_standing(self) -> bool {
        match self {
            Self::Counts | Self::Invoiced | Self::Unbilled => true,
            Self::Gone => false,
        }
    }
}

/// An entry that the site has or had.
#[derive(Clone, Debug)]
pub(super) struct Usage {
    pub(super) id: String,
    pub(super) place: Place,
    pub(super) second: i64,
    /// In thousandths.
    pub(super) quantity: i128,
    pub(super) fate: Fate,
}

/// Every entry that the site ever took.
pub(super) async fn usages(provider: &Provider) -> anyhow::Result<Vec<Usage>> {
    let usage = |line: &Value| {
        Some(Usage {
            id: text(line, "id").to_owned(),
            place: Place::named(text(line, "item_price"), text(line, "subscription"))?,
            second: line["usage_date"].as_i64()?,
            quantity: thousandths(text(line, "quantity"))?,
            fate: Fate::named(text(line, "fate/state"))?,
        })
    };
    let told = provider.told().await?;
    let read = |line| usage(line).with_context(|| format!("an entry not understood: {line}"));
    told.iter().map(read).collect()
}

/// What the ledger says of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is there.
    Told,
    /// It was told, and is taken away again.
    TakenAway,
    /// It is not there: it never was, or was refused.
    NotTold,
    /// It waits, is on its way, or nobody knows.
    Open,
}

/// An entry as the ledger has it.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) place: Place,
    pub(super) second: i64,
    /// In thousandths.
    pub(super) quantity: i128,
    pub(super) said: Said,
}

/// A balance as the ledger has it, in thousandths.
#[derive(Clone, Debug)]
pub(super) struct Balance {
    pub(super) number: i64,
    pub(super) place: Place,
    /// In microseconds.
    pub(super) span: (i64, i64),
    pub(super) accrued: i128,
    pub(super) told: i128,
}

/// The ledger.
pub(super) struct Ledger {
    /// By their identifiers.
    pub(super) events: BTreeMap<String, Event>,
    pub(super) balances: Vec<Balance>,
}

impl Ledger {
    /// Reads it, once nobody changes it.
    pub(super) async fn read(home: &Home) -> anyhow::Result<Self> {
        let mut open = open(home).await?;
        let ledger =
            Self { events: events(&mut open).await?, balances: balances(&mut open).await? };
        Ok(ledger)
    }
}

async fn open(home: &Home) -> anyhow::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(home.ledger()).read_only(true);
    options.connect().await.context("cannot open the ledger")
}

/// How many subscriptions the ledger knows, while a daemon holds it.
pub(super) async fn known_subscriptions(home: &Home) -> anyhow::Result<u64> {
    let counted = sqlx::query("SELECT count(*) FROM subscription");
    let row = counted.fetch_one(&mut open(home).await?).await;
    let count: i64 = row.context("cannot read the ledger's subscriptions")?.try_get(0)?;
    Ok(u64::try_from(count)?)
}

async fn events(open: &mut SqliteConnection) -> anyhow::Result<BTreeMap<String, Event>> {
    // Each entry, and the taking away of it that lives.
    let found = sqlx::query(
        "SELECT e.identifier, d.meter, b.account, e.second, e.quantity, e.state, c.state
         FROM meter_event AS e JOIN balance AS b ON b.id = e.balance_id
         JOIN destination AS d ON d.id = b.destination_id
         LEFT JOIN meter_event AS c ON c.target_id = e.id
           AND c.state NOT IN ('void', 'superseded', 'dead')
         WHERE e.kind = 'usage'",
    );
    let mut events = BTreeMap::new();
    for row in found.fetch_all(open).await.context("cannot read the ledger's events")? {
        let word = |at: usize| row.try_get::<String, usize>(at);
        let taking: Option<String> = row.try_get(6)?;
        let event = Event {
            place: place(&row, 1, 2)?,
            second: row.try_get(3)?,
            quantity: number(&word(4)?)?,
            said: said(&word(5)?, taking.as_deref())?,
        };
        events.insert(word(0)?, event);
    }
    Ok(events)
}

/// What the states of an entry's event, and of the taking away of it, say together.
fn said(state: &str, taking: Option<&str>) -> anyhow::Result<Said> {
    Ok(match (state, taking) {
        ("accepted" | "settled", None) => Said::Told,
        ("accepted" | "settled", Some("accepted" | "settled")) => Said::TakenAway,
        ("accepted" | "settled", Some(_)) | ("pending" | "in_flight" | "unknown" | "held", _) => {
            Said::Open
        }
        ("void" | "superseded" | "dead", _) => Said::NotTold,
        (other, _) => bail!("the ledger has a state {other:?}"),
    })
}

async fn balances(open: &mut SqliteConnection) -> anyhow::Result<Vec<Balance>> {
    let found = sqlx::query(
        "SELECT b.id, d.meter, b.account, b.window_start, b.window_end, b.accrued, b.told
         FROM balance AS b JOIN destination AS d ON d.id = b.destination_id",
    );
    let rows = found.fetch_all(open).await.context("cannot read the ledger's balances")?;
    let balance = |row: &SqliteRow| {
        Ok(Balance {
            number: row.try_get(0)?,
            place: place(row, 1, 2)?,
            span: (row.try_get(3)?, row.try_get(4)?),
            accrued: number(&row.try_get::<String, usize>(5)?)?,
            told: number(&row.try_get::<String, usize>(6)?)?,
        })
    };
    rows.iter().map(balance).collect()
}

/// The place that two columns name.
fn place(row: &SqliteRow, meter: usize, account: usize) -> anyhow::Result<Place> {
    let (meter, account): (String, String) = (row.try_get(meter)?, row.try_get(account)?);
    let place = Place::named(&meter, &account);
    place.with_context(|| format!("the ledger has usage of {meter} of {account}"))
}

fn number(text: &str) -> anyhow::Result<i128> {
    thousandths(text).with_context(|| format!("the ledger has a quantity {text:?}"))
}
