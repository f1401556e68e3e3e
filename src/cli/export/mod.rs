//! `tallyd export`. Here: in which order an export is made, and its other commands. Never here: how
//! the ledger is reached ([`door`]), files ([`files`]), which event a form can say
//! (`crate::provider`). Read next: [`door`].
//!
//! The order is what keeps usage from being told twice: events are held first, then nothing more
//! goes into the export, and only then its files are written. Whatever ends the command between
//! two of these, `tallyd export again` goes on.

mod door;
mod files;
mod show;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};

use self::door::Door;
use self::files::{Files, Written};
use super::args::Configured;
use super::args::export::{
    Export as Asked, ExportAbandon, ExportAgain, ExportConfirm, ExportList, ExportMake,
};
use super::exit::Exit;
use super::resolve::invoker;
use super::{page, reading};
use crate::config::Config;
use crate::domain::cutover::Telling;
use crate::domain::export::{ExportForm, ExportId, ExportStep, LeftOut};
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::domain::time::Timestamp;
use crate::ledger::export::{
    Export, ExportLedger as _, MARKED_MAX, NewExport, NewStep, Place, Released, RowPlace,
};
use crate::ledger::posting::PostingLedger as _;
use crate::provider::stripe::bulk;
use crate::store::sqlite::SqliteLedger;
use crate::web::holds::sentence;

/// Most events of one export. It bounds what a person has to answer for at once; what is left waits
/// for the next.
const EVENTS_MAX: i64 = 1_000_000;
/// Events of an export that are read at once, to write its files.
const ROWS_READ: u32 = 5_000;

/// Does what was asked for.
///
/// # Errors
/// When it is refused, the ledger cannot be reached, or a file cannot be written.
pub(crate) async fn export(asked: &Asked) -> anyhow::Result<Exit> {
    match asked {
        Asked::StripeCsv(asked) => make(asked, ExportForm::StripeCsv).await,
        Asked::StripeS3Jsonl(asked) => make(asked, ExportForm::StripeS3Jsonl).await,
        Asked::List(asked) => list(asked).await,
        Asked::Again(asked) => again(asked).await,
        Asked::Confirm(asked) => confirm(asked).await,
        Asked::Abandon(asked) => abandon(asked).await,
    }
}

/// What was left out of an export, by reason.
type Left = BTreeMap<LeftOut, i64>;

/// What the making of an export came to, before its files.
#[derive(Default)]
struct Marked {
    events: i64,
    left: Left,
    /// Whether [`EVENTS_MAX`] ended it.
    more: bool,
}

async fn make(asked: &ExportMake, form: ExportForm) -> anyhow::Result<Exit> {
    let config = reading::configure(&asked.listing.configured)?;
    let new = new_export(&config, asked, form)?;
    // What cannot be written is found out before anything is held.
    files::prepare(&asked.out)?;
    let door = Door::open(&config, "export").await?;
    let telling = config.tellings.get(&new.provider).cloned().unwrap_or_default();
    let made = mark_and_write(&door, &asked.listing.configured, (&new, &telling), &asked.out).await;
    door.close().await;
    let (marked, made) = made?;
    match made {
        None => {
            show::nothing(&marked, asked.listing.json)?;
        }
        Some((export, written)) => {
            show::made(&export, &written, Some(&marked), asked.listing.json)?;
        }
    }
    Ok(Exit::Ok)
}

fn new_export(config: &Config, asked: &ExportMake, form: ExportForm) -> anyhow::Result<NewExport> {
    let name = &asked.provider;
    if !config.stripe.iter().any(|stripe| stripe.provider.name.as_str() == name) {
        bail!(
            "--provider \"{name}\" is no configured Stripe account, and only Stripe takes {form}"
        );
    }
    let provider = ProviderName::new(name).map_err(|why| anyhow!("--provider \"{name}\" {why}"))?;
    let meter =
        |name: &String| ProviderMeter::new(name).map_err(|why| anyhow!("--meter \"{name}\" {why}"));
    let meters = asked.meters.iter().map(meter).collect::<Result<_, _>>()?;
    let before = asked.before.as_ref().map(|text| {
        Timestamp::parse_rfc3339(text)
            .with_context(|| format!("--before \"{text}\" is no instant like 2026-01-31T00:00:00Z"))
    });
    let who = word_of(asked.who.as_ref())?;
    Ok(NewExport { provider, form, meters, before: before.transpose()?, who })
}

/// Who says something.
fn word_of(who: Option<&String>) -> anyhow::Result<String> {
    let who = who.cloned().map_or_else(invoker, Ok)?;
    sentence("--who", &who).map_err(|said| anyhow!(said))
}

/// Holds the events, seals the export, and writes its files. Nothing is begun where there is
/// nothing to export.
async fn mark_and_write(
    door: &Door,
    configured: &Configured,
    (new, telling): (&NewExport, &Telling),
    out: &Path,
) -> anyhow::Result<(Marked, Option<(Export, Vec<Written>)>)> {
    if let Some(why) = door.reader.why_not_exported(&new.provider, telling).await? {
        bail!(why);
    }
    let provider_now = door.provider_now(configured, &new.provider).await?;
    let mut marked = Marked::default();
    let Some(id) = mark(door, new, provider_now, &mut marked).await? else {
        return Ok((marked, None));
    };
    let made = seal_and_write(door, id, &new.who, out).await;
    let made = made.with_context(|| {
        format!(
            "export {id} holds its events, and its files are written by: tallyd export again {id}"
        )
    })?;
    Ok((marked, Some(made)))
}

/// Walks through what waits, and holds what a file of the form tells. Answers the export, once
/// there is something for it.
async fn mark(
    door: &Door,
    new: &NewExport,
    provider_now: Timestamp,
    marked: &mut Marked,
) -> anyhow::Result<Option<ExportId>> {
    let (mut from, mut export) = (Place::default(), None);
    loop {
        let waiting = door.reader.waiting_for(new, from, MARKED_MAX).await?;
        let mut events = Vec::with_capacity(waiting.candidates.len());
        for event in &waiting.candidates {
            match bulk::judge(new.form, event, provider_now) {
                Ok(_) => events.push(event.event),
                Err(why) => *marked.left.entry(why).or_default() += 1,
            }
        }
        let room = usize::try_from(EVENTS_MAX - marked.events).unwrap_or_default();
        marked.more = events.len() > room;
        events.truncate(room);
        if !events.is_empty() {
            let id = match export {
                Some(id) => id,
                None => *export.insert(door.begin(new).await?),
            };
            marked.events += door.mark(id, &events).await.with_context(|| {
                format!(
                    "export {id} holds {} events; write them (tallyd export again {id}), or give \
                     them back (tallyd export abandon {id})",
                    marked.events
                )
            })?;
        }
        match waiting.next {
            Some(next) if !marked.more => from = next,
            Some(_) | None => return Ok(export),
        }
    }
}

/// Has nothing more go into the export, and writes its files.
async fn seal_and_write(
    door: &Door,
    id: ExportId,
    who: &str,
    out: &Path,
) -> anyhow::Result<(Export, Vec<Written>)> {
    let step = |step, files| NewStep { step, files, why: String::new(), who: who.to_owned() };
    door.note(id, &step(ExportStep::Sealed, None)).await?;
    let export = one(&door.reader, id).await?;
    let (gone, late_since) = (export.events - export.held, export.late_since(door.now()));
    if let Some(why) = export.standing().refuses_files(id, gone, late_since) {
        bail!(why);
    }
    let mut files = Files::new(out, &export, door.reader.ledger_id());
    let mut after = RowPlace::default();
    loop {
        let rows = door.reader.exported_events(id, after, ROWS_READ).await?;
        let Some(last) = rows.last() else { break };
        after = last.place;
        for each in &rows {
            let row = bulk::row(export.asked.form, &each.event)
                .map_err(|why| anyhow!("event {}: {}", each.event.event, why.says()))?;
            files.add(&row, &each.event)?;
        }
    }
    let (written, digest) = files.finish()?;
    match export.files() {
        Some((_, noted)) if *noted != digest => bail!(
            "the files in {} are not those that were written first: another version of tallyd \
             wrote those. Upload only one of the two",
            out.display()
        ),
        Some(_) => {}
        None => {
            let count = i64::try_from(written.len()).unwrap_or(i64::MAX);
            door.note(id, &step(ExportStep::Written, Some((count, digest)))).await?;
        }
    }
    Ok((one(&door.reader, id).await?, written))
}

async fn one(ledger: &SqliteLedger, id: ExportId) -> anyhow::Result<Export> {
    let found = ledger.exports(Some(id), 1).await?.pop();
    found.with_context(|| format!("there is no export {id} (tallyd export list)"))
}

async fn again(asked: &ExportAgain) -> anyhow::Result<Exit> {
    let config = reading::configure(&asked.listing.configured)?;
    let who = word_of(asked.who.as_ref())?;
    files::prepare(&asked.out)?;
    let door = Door::open(&config, "export again").await?;
    let made = seal_and_write(&door, asked.export, &who, &asked.out).await;
    door.close().await;
    let (export, written) = made?;
    show::made(&export, &written, None, asked.listing.json)?;
    Ok(Exit::Ok)
}

async fn list(asked: &ExportList) -> anyhow::Result<Exit> {
    let reading::Reading { ledger, now, .. } = reading::open(&asked.listing.configured).await?;
    let exports = ledger.exports(None, asked.limit).await;
    ledger.close().await;
    let exports = exports?;
    if asked.listing.json {
        page::print_json(&show::exports_json(&exports))?;
    } else {
        page::print(|out| show::list(out, &exports, now))?;
    }
    Ok(Exit::Ok)
}

async fn confirm(asked: &ExportConfirm) -> anyhow::Result<Exit> {
    let config = reading::configure(&asked.listing.configured)?;
    let who = word_of(asked.who.as_ref())?;
    let step = NewStep { step: ExportStep::Confirmed, files: None, why: String::new(), who };
    let door = Door::open(&config, "export confirm").await?;
    let noted = door.note(asked.export, &step).await;
    let export = one(&door.reader, asked.export).await;
    door.close().await;
    noted?;
    show::confirmed(&export?, asked.listing.json)?;
    Ok(Exit::Ok)
}

async fn abandon(asked: &ExportAbandon) -> anyhow::Result<Exit> {
    let config = reading::configure(&asked.listing.configured)?;
    let who = word_of(asked.who.as_ref())?;
    let why = sentence("--why", &asked.why).map_err(|said| anyhow!(said))?;
    let step = NewStep { step: ExportStep::Abandoned, files: None, why, who };
    let door = Door::open(&config, "export abandon").await?;
    let released = note_and_release(&door, asked.export, &step).await;
    door.close().await;
    show::abandoned(asked.export, released?, asked.listing.json)?;
    Ok(Exit::Ok)
}

/// The word comes first: whatever ends this before its last event is given back, the same command
/// goes on.
async fn note_and_release(door: &Door, id: ExportId, step: &NewStep) -> anyhow::Result<i64> {
    door.note(id, step).await?;
    let (mut released, mut after) = (0, RowPlace::default());
    loop {
        let Released { events, next } = door.release(id, after).await?;
        released += events;
        match next {
            Some(next) => after = next,
            None => return Ok(released),
        }
    }
}
