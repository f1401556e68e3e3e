//! `tallyd remap`. Here: what a remap would change, shown before it is asked for, and the wish
//! handed in. Never here: where records go (`accrual::remap`). Read next: [`super::correct`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};

use super::agree::{Asked, Decision, agree};
use super::args::remap::Remap;
use super::exit::Exit;
use super::import::door::ledger_or_socket;
use super::reading::{self, Reading};
use super::remap_outlook::Outlook;
use super::resolve::invoker;
use super::table::{Side, Table};
use super::words::counted;
use super::{filter, page};
use crate::accrual::remapper::{Change, Left, Preview};
use crate::config::Config;
use crate::daemon::{Time, remapping};
use crate::domain::balance::Place;
use crate::domain::cutover::Telling;
use crate::domain::time::Window;
use crate::ledger::remap::{RemapEnd, RemapId, RemapLedger, RemapStatus, RemapWish, StopWish};
use crate::web::holds::sentence;
use crate::web::remaps::{Sent, begun_json, stopped_json};

/// Most changes that a person is shown; JSON holds all of them.
const CHANGES_SHOWN_MAX: usize = 40;
/// Most remaps that are listed: nobody has history booked anew often.
const REMAPS_LISTED_MAX: u32 = 100;

/// Shows what a remap would change, and has it done.
///
/// # Errors
/// When it cannot be looked at, or is not done.
pub(crate) async fn remap(asked: &Remap) -> anyhow::Result<Exit> {
    if asked.list {
        return list(asked).await;
    }
    if let Some(number) = asked.stop {
        return stop(asked, RemapId(number)).await;
    }
    let filter = filter::read(&asked.filter)?;
    let why = asked.why.as_deref().map(|why| sentence("--why", why)).transpose();
    let why = why.map_err(|said| anyhow!(said))?;
    let Reading { config, ledger, now } = reading::open(&asked.listing.configured).await?;
    let ledger = Arc::new(ledger);
    let accruer = remapping::accruer(&config, ledger.clone()).await?;
    let preview = accruer.preview(ledger.as_ref(), &filter, now).await?;
    drop(accruer);
    let outlooks = outlooks(&config, ledger.as_ref(), &preview).await?;
    if let Some(ledger) = Arc::into_inner(ledger) {
        ledger.close().await;
    }
    if !asked.listing.json {
        page::print(|out| write(out, &preview, &outlooks, asked.by_window))?;
    }
    let (changes, json) = (preview.changed > 0, asked.listing.json);
    let agreed = Asked { changes, preview: asked.preview, yes: asked.yes, json };
    let begun = match agree(agreed, "Remap them?", "nothing was remapped")? {
        Decision::Stop(exit) => Err(exit),
        Decision::Go => {
            let (mapping, to) = (preview.mapping, preview.to);
            let (why, who) = (why.unwrap_or_default(), invoker()?);
            Ok(begin(&config, &RemapWish { filter, mapping, to, why, who }).await?)
        }
    };
    if asked.listing.json {
        let number = begun.as_ref().ok().map(|begun| &begun["remap"]);
        page::print_json(&preview_json(&preview, &outlooks, number))?;
    } else if let Ok(begun) = &begun {
        let number = &begun["remap"];
        page::print(|out| {
            writeln!(out, "\nRemap {number} is asked for: the daemon does it, and posting tells")?;
            writeln!(out, "what it changes. `tallyd remap --list` says how far it is.")
        })?;
    }
    Ok(begun.err().unwrap_or(Exit::Ok))
}

/// Hands the wish in.
async fn begin(config: &Config, wish: &RemapWish) -> anyhow::Result<Value> {
    match ledger_or_socket(config, "remap").await? {
        Ok(ledger) => {
            let begun = ledger.begin_remap(wish, Time::of(config).await?.clock.now()).await;
            ledger.close().await;
            match begun_json(begun?) {
                Ok(document) => Ok(document),
                Err(why) => bail!("nothing was remapped: {why}"),
            }
        }
        Err(socket) => {
            let (body, mapping) = (json!(Sent::of(wish)).to_string(), wish.mapping.0.to_string());
            let parameter = ("mapping", mapping.as_str());
            let said = socket.post("/v1/remaps", parameter, "application/json", body).await;
            said.context("nothing was remapped")
        }
    }
}

/// What becomes of each change of a preview, in their order.
async fn outlooks(
    config: &Config,
    ledger: &dyn RemapLedger,
    preview: &Preview,
) -> anyhow::Result<Vec<Outlook>> {
    let windows: Vec<(Place, Window)> = preview.changes.keys().cloned().collect();
    let closed = ledger.closed_windows(&windows).await?;
    let told = Telling::default();
    let outlooks = windows.iter().enumerate().map(|(at, (place, window))| {
        let (provider, account, meter) = place;
        let telling = config.tellings.get(provider).unwrap_or(&told);
        Outlook::of(telling, (account, meter), (*window, closed.contains(&at)))
    });
    Ok(outlooks.collect())
}

/// Stops a remap where it is.
async fn stop(asked: &Remap, remap: RemapId) -> anyhow::Result<Exit> {
    let why = sentence("--why", asked.why.as_deref().unwrap_or_default());
    let said = StopWish { why: why.map_err(|said| anyhow!(said))?, who: invoker()? };
    let config = reading::configure(&asked.listing.configured)?;
    let stopped: Value = match ledger_or_socket(&config, "remap --stop").await? {
        Ok(ledger) => {
            let stopped = ledger.stop_remap(remap, &said, Time::of(&config).await?.clock.now());
            let stopped = stopped.await;
            ledger.close().await;
            stopped_json(remap, &stopped?).map_err(|why| anyhow!(why))?
        }
        Err(socket) => {
            let body = json!({ "why": said.why, "who": said.who }).to_string();
            let number = remap.to_string();
            let parameter = ("remap", number.as_str());
            socket.post("/v1/remaps/stop", parameter, "application/json", body).await?
        }
    };
    if asked.listing.json {
        page::print_json(&stopped)?;
        return Ok(Exit::Ok);
    }
    page::print(|out| {
        let changed = counted(stopped["changed"].as_i64().unwrap_or_default(), "record");
        let (at, to) = (&stopped["at"], &stopped["to"]);
        writeln!(
            out,
            "Remap {remap} is stopped at {at} of {to} in the journal. {changed} that it"
        )?;
        writeln!(out, "booked anew until then stay so, and the rest as it was.")
    })?;
    Ok(Exit::Ok)
}

fn count(records: u64) -> i64 {
    i64::try_from(records).unwrap_or(i64::MAX)
}

fn write(
    out: &mut dyn Write,
    preview: &Preview,
    outlooks: &[Outlook],
    by_window: bool,
) -> io::Result<()> {
    let records = counted(count(preview.records), "record");
    if preview.changed == 0 {
        writeln!(out, "Of {records}, none would be booked otherwise by the routes in force.")?;
    } else {
        let changed = preview.changed;
        writeln!(out, "Of {records}, {changed} would be booked otherwise by the routes in force:")?;
        writeln!(out)?;
        write_changes(out, preview, outlooks, by_window)?;
    }
    for (why, Left { records, first }) in &preview.left {
        let left = counted(count(*records), "record");
        writeln!(out, "\n{left} would stay, such as {first}: {}.", why.why())?;
    }
    Ok(())
}

/// What changes, by account and meter, or by window too.
fn write_changes(
    out: &mut dyn Write,
    preview: &Preview,
    outlooks: &[Outlook],
    by_window: bool,
) -> io::Result<()> {
    let mut lines: BTreeMap<(&Place, Option<Window>, Outlook), Change> = BTreeMap::new();
    for (((place, window), change), outlook) in preview.changes.iter().zip(outlooks) {
        let line = lines.entry((place, by_window.then_some(*window), *outlook)).or_default();
        line.from = &line.from + &change.from;
        line.to = &line.to + &change.to;
        line.lines += change.lines;
    }
    let mut table = Table::new([
        ("provider", Side::Left),
        ("account", Side::Left),
        ("meter", Side::Left),
        (if by_window { "window" } else { "" }, Side::Left),
        ("taken back", Side::Right),
        ("told instead", Side::Right),
        ("change", Side::Right),
        (
            if outlooks.iter().any(|each| each.says().is_some()) { "what is told" } else { "" },
            Side::Left,
        ),
    ]);
    for (((provider, account, meter), window, outlook), change) in
        lines.iter().take(CHANGES_SHOWN_MAX)
    {
        let window = window.map_or(String::new(), |window| window.start.to_rfc3339());
        table.row([
            provider.to_string(),
            account.to_string(),
            meter.to_string(),
            window,
            change.from.to_string(),
            change.to.to_string(),
            (&change.from + &change.to).to_string(),
            outlook.says().map_or(String::new(), |_| outlook.word().to_owned()),
        ]);
    }
    table.write(out, "  ")?;
    if let Some(more @ 1..) = lines.len().checked_sub(CHANGES_SHOWN_MAX) {
        writeln!(out, "  and {more} more (--json lists all)")?;
    }
    let met: BTreeSet<Outlook> = outlooks.iter().copied().collect();
    let said: Vec<&str> = met.into_iter().filter_map(Outlook::says).collect();
    if !said.is_empty() {
        writeln!(out)?;
    }
    for each in said {
        writeln!(out, "{each}.")?;
    }
    writeln!(out, "\nWhat was told of closed periods follows the routes' `late` and `corrections`.")
}

fn preview_json(preview: &Preview, outlooks: &[Outlook], number: Option<&Value>) -> Value {
    let changes = preview.changes.iter().zip(outlooks).map(|(changed, outlook)| {
        let (((provider, account, meter), window), change) = changed;
        json!({
            "provider": provider.as_str(),
            "account": account.as_str(),
            "meter": meter.as_str(),
            "start": window.start.to_rfc3339(),
            "end": window.end.to_rfc3339(),
            "from": change.from.to_string(),
            "to": change.to.to_string(),
            "outlook": outlook.word(),
        })
    });
    let left = preview.left.iter().map(|(why, left)| {
        json!({ "reason": why.as_str(), "records": left.records, "first": left.first })
    });
    json!({
        "records": preview.records,
        "changed": preview.changed,
        "changes": changes.collect::<Vec<_>>(),
        "left": left.collect::<Vec<_>>(),
        "remap": number,
    })
}

async fn list(asked: &Remap) -> anyhow::Result<Exit> {
    let Reading { ledger, .. } = reading::open(&asked.listing.configured).await?;
    let remaps = ledger.remaps(None, REMAPS_LISTED_MAX).await?;
    ledger.close().await;
    if asked.listing.json {
        page::print_json(&Value::from_iter(remaps.iter().map(status_json)))?;
        return Ok(Exit::Ok);
    }
    page::print(|out| {
        if remaps.is_empty() {
            return writeln!(out, "No history was ever remapped.");
        }
        let mut table = Table::new([
            ("remap", Side::Right),
            ("asked", Side::Left),
            ("by", Side::Left),
            ("state", Side::Left),
            ("changed", Side::Right),
            ("left", Side::Right),
            ("why", Side::Left),
        ]);
        for remap in &remaps {
            table.row([
                remap.id.to_string(),
                remap.asked_at.to_rfc3339(),
                remap.who.clone(),
                state(remap),
                remap.changed.to_string(),
                remap.left_alone.to_string(),
                remap.why.clone(),
            ]);
        }
        table.write(out, "")
    })?;
    Ok(Exit::Ok)
}

fn state(remap: &RemapStatus) -> String {
    match remap.ended {
        Some(RemapEnd::Stopped) => format!("stopped at {} of {}", remap.at, remap.to),
        Some(ended) => ended.as_str().to_owned(),
        None => format!("at {} of {}", remap.at, remap.to),
    }
}

fn status_json(remap: &RemapStatus) -> Value {
    json!({
        "remap": remap.id.0,
        "asked_at": remap.asked_at.to_rfc3339(),
        "who": remap.who,
        "why": remap.why,
        "at": remap.at.0,
        "to": remap.to.0,
        "changed": remap.changed,
        "left": remap.left_alone,
        "ended": remap.ended.map(RemapEnd::as_str),
        "stopped_by": remap.stopped.as_ref().map(|(who, _)| who),
        "stopped_why": remap.stopped.as_ref().map(|(_, why)| why),
    })
}
