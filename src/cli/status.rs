//! `tallyd status`. Here: what waits, what is told, what is held, and who runs the ledger. Never
//! here: single records. Read next: [`super::books`].

use std::io::{self, Write};

use serde_json::{Value, json};

use super::args::Listing;
use super::exit::Exit;
use super::held::hold_ended_by;
use super::reading::{self, Reading};
use super::silences::Silent;
use super::table::{Side, Table};
use super::{page, words};
use crate::domain::state::ParkReason;
use crate::domain::time::Timestamp;
use crate::ledger::operator::{OperatorLedger, Status};
use crate::ledger::posting::Restored;
use crate::ledger::silence::SilenceLedger as _;
use crate::store::Holder;
use crate::web::standing::{AT_RISK_LISTED_MAX, status_json};

/// Shows where the ledger stands.
///
/// # Errors
/// When the ledger cannot be read.
pub(crate) async fn status(listing: &Listing) -> anyhow::Result<Exit> {
    let Reading { config, ledger, now } = reading::open(&listing.configured).await?;
    let standing = Standing {
        path: config.store.path.display().to_string(),
        holder: Holder::current(&config.store.path)?,
        status: ledger.status().await?,
        silent: Silent::of(&ledger.heard().await?, &config.silence, now),
        now,
    };
    ledger.close().await;
    if listing.json {
        page::print_json(&standing.json())?;
    } else {
        page::print(|out| standing.write(out))?;
    }
    Ok(Exit::Ok)
}

struct Standing {
    path: String,
    holder: Option<String>,
    status: Status,
    silent: Silent,
    now: Timestamp,
}

impl Standing {
    fn json(&self) -> Value {
        let silent = self.silent.json();
        let mut document = json!({ "ledger": self.path, "held_by": self.holder, "silent": silent });
        if let (Value::Object(all), Value::Object(status)) =
            (&mut document, status_json(&self.status))
        {
            all.extend(status);
        }
        document
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let status = &self.status;
        let taken = |all: i64, to: i64| match (all, all.saturating_sub(to)) {
            (0, _) => "none yet".to_owned(),
            (all, 0) => format!("{all}, and accrual has taken all of them"),
            (all, behind) => format!("{all}, accrual is at {to}: {behind} behind"),
        };
        let records = taken(status.records, status.accrued_to);
        let corrections = taken(status.corrections, status.corrected_to);
        let rejected = match (status.rejected, status.rejected_open) {
            (0, _) => "0".to_owned(),
            (all, open) => format!("{all}, of which {open} wait (tallyd rejected list)"),
        };
        let holder = match &self.holder {
            Some(holder) => format!("in use by {holder}"),
            None => "none: nobody holds the ledger, and nothing is told".to_owned(),
        };
        let or_none = |at: Option<Timestamp>| {
            at.map_or_else(|| "-".to_owned(), |at| words::instant(at, self.now))
        };
        let mut table = Table::bare([Side::Left, Side::Left]);
        for (name, said) in [
            ("ledger", format!("{} (id {})", self.path, status.ledger_id)),
            ("daemon", holder),
            ("records", records),
            ("corrections", corrections),
            ("conflicts", status.conflicts.to_string()),
            ("rejected", rejected),
            ("balances to tell", status.balances_open.to_string()),
            ("oldest event that waits", or_none(status.oldest_open_at)),
            ("nearest deadline", or_none(status.nearest_deadline_at)),
        ] {
            table.row([name.to_owned(), said]);
        }
        if let Some(restored) = &status.restored {
            table.row(["rolled back".to_owned(), self.restored(restored)]);
        }
        table.write(out, "")?;
        self.write_parked(out)?;
        self.write_events(out)?;
        self.write_held(out)?;
        self.write_providers(out)?;
        self.write_notices(out)?;
        self.write_spools(out)?;
        self.silent.write(out, self.now)
    }

    /// Most ledgers have none, as of notices.
    fn write_spools(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.status.spools.is_empty() {
            return Ok(());
        }
        let mut table = Table::new([
            ("spool", Side::Left),
            ("files", Side::Right),
            ("unread bytes", Side::Right),
            ("cut", Side::Right),
            ("gone unread", Side::Right),
            ("read", Side::Left),
        ]);
        for each in &self.status.spools {
            table.row([
                each.spool.clone(),
                each.files.to_string(),
                each.unread_bytes.to_string(),
                each.replaced.to_string(),
                each.lost.to_string(),
                words::instant(each.read_at, self.now),
            ]);
        }
        writeln!(out)?;
        table.write(out, "")
    }

    /// Most ledgers have none, and nothing is said of them.
    fn write_notices(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.status.notices.is_empty() {
            return Ok(());
        }
        let columns =
            [("notices of", Side::Left), ("waiting", Side::Right), ("newest came", Side::Left)];
        let mut table = Table::new(columns);
        for each in &self.status.notices {
            let newest = words::instant(each.newest_at, self.now);
            table.row([each.provider.clone(), each.waiting.to_string(), newest]);
        }
        writeln!(out)?;
        table.write(out, "")
    }

    fn write_held(&self, out: &mut dyn Write) -> io::Result<()> {
        let status = &self.status;
        if status.held.is_empty() {
            return writeln!(out, "\nNothing is held.");
        }
        let mut table = Table::new([
            ("held at", Side::Left),
            ("reason", Side::Left),
            ("items", Side::Right),
            ("ended by", Side::Left),
        ]);
        for (provider, reason, count) in &status.held {
            let ended_by = words::or_dash(hold_ended_by(reason));
            table.row([provider.clone(), reason.clone(), count.to_string(), ended_by]);
        }
        writeln!(out)?;
        table.write(out, "")?;
        let mut table = Table::new([
            ("at risk at", Side::Left),
            ("account", Side::Left),
            ("meter", Side::Left),
            ("items", Side::Right),
            ("quantity", Side::Right),
        ]);
        for each in status.at_risk.iter().take(AT_RISK_LISTED_MAX) {
            table.row([
                each.provider.clone(),
                each.account.clone(),
                each.meter.clone(),
                each.items.to_string(),
                each.quantity.to_string(),
            ]);
        }
        writeln!(out)?;
        table.write(out, "")?;
        let more = status.at_risk.len().saturating_sub(AT_RISK_LISTED_MAX);
        if more > 0 {
            writeln!(out, "and {more} more, with less each (tallyd books)")?;
        }
        let recent = status.recent;
        writeln!(out, "Of the newest {} events {} are held.", recent.events, recent.held)
    }

    fn restored(&self, restored: &Restored) -> String {
        let since = words::instant(restored.restored_at, self.now);
        let until = restored.sent_through_at;
        match restored.caught_up_at {
            Some(at) => format!("found {since}; the sources had caught up {at}"),
            None => format!(
                "found {since}: usage of until {until} may have been told, and is held; have the \
                 sources send again what is lacking, then say so (tallyd ledger caught-up)"
            ),
        }
    }

    fn write_parked(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.status.parked.is_empty() {
            return writeln!(out, "\nNo record is parked.");
        }
        let columns = [("parked", Side::Left), ("records", Side::Right), ("ended by", Side::Left)];
        let mut table = Table::new(columns);
        for each in &self.status.parked {
            let ended_by = words::or_dash(park_ended_by(&each.name));
            table.row([each.name.clone(), each.count.to_string(), ended_by]);
        }
        writeln!(out)?;
        table.write(out, "")
    }

    fn write_events(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.status.events.is_empty() {
            return writeln!(out, "\nThere is no meter event yet.");
        }
        let columns = [("provider", Side::Left), ("state", Side::Left), ("events", Side::Right)];
        let mut table = Table::new(columns);
        for (provider, state, count) in &self.status.events {
            table.row([provider.clone(), state.clone(), count.to_string()]);
        }
        writeln!(out)?;
        table.write(out, "")
    }

    fn write_providers(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.status.providers.is_empty() {
            return writeln!(out, "\nNo provider was contacted yet.");
        }
        let columns = ["provider", "account", "mode", "sending"].map(|name| (name, Side::Left));
        let mut table = Table::new(columns);
        for each in &self.status.providers {
            let mode = match each.livemode {
                Some(true) => "live",
                Some(false) => "test",
                None => "-",
            };
            let sending = if each.in_shadow { "no: it is in shadow" } else { "yes" };
            let pause = each.pause.as_ref().map_or_else(
                || sending.to_owned(),
                |(why, since)| format!("paused since {}: {why}", words::instant(*since, self.now)),
            );
            let account = words::or_dash(each.account.as_deref());
            table.row([each.provider.clone(), account, mode.to_owned(), pause]);
        }
        writeln!(out)?;
        table.write(out, "")?;
        for each in self.status.providers.iter().filter(|each| each.told_before > 0) {
            let balances = words::counted(each.told_before, "balance");
            writeln!(
                out,
                "Of {balances} at {} usage was told before tallyd, and is written off (tallyd \
                 books)",
                each.provider
            )?;
        }
        Ok(())
    }
}

/// What ends a parked record's wait. A reason that this version does not know has no advice.
pub(crate) fn park_ended_by(reason: &str) -> Option<&'static str> {
    ParkReason::parse(reason).map(ParkReason::ended_by)
}
