//! `tallyd cancel` and `tallyd adjust`. Here: which records are meant, the question before many are
//! corrected, and the corrections handed in. Never here: what a correction does (see `accrual`).
//! Read next: [`plan`].

use anyhow::{Context, bail};
use serde_json::json;

use self::door::{Answer, Answers, Door};
use self::plan::{Command, PassedOver, Plan, Wish};
use super::agree::{Asked, Decision, agree};
use super::args::correct::{Adjust, Cancel, Chosen};
use super::exit::Exit;
use super::progress::Progress;
use super::reading::{self, Reading};
use super::{filter, page, trace};
use crate::config::Config;
use crate::domain::correction::{Change, Correction, CorrectionKind, Standing};
use crate::domain::digest::Fields;
use crate::domain::names::{CorrectionName, NameError, RecordId, SourceName};
use crate::domain::quantity::Quantity;
use crate::domain::record::Position;
use crate::intake::admit::escaped;
use crate::intake::batch::Place;
use crate::intake::correct::{CorrectionBatch, check_reason};
use crate::intake::desk::CORRECTIONS_PER_CALL_MAX;
use crate::ledger::corrections::{FindRecords, RecordFilter};
use crate::ledger::operator::{OperatorLedger, Trace};
use crate::store::sqlite::SqliteLedger;
use crate::store::sqlite::archived::Archives;

pub(crate) mod door;
mod plan;
mod preview;

/// Records read at once.
const PAGE_RECORDS: u32 = 5_000;

/// Cancels records.
///
/// # Errors
/// When the command cannot be understood, or the ledger fails.
pub(crate) async fn cancel(asked: &Cancel) -> anyhow::Result<Exit> {
    correct(&asked.chosen, Wish::Cancel, None).await
}

/// Adjusts records.
///
/// # Errors
/// When the command cannot be understood, or the ledger fails.
pub(crate) async fn adjust(asked: &Adjust) -> anyhow::Result<Exit> {
    let wish = match (&asked.to, &asked.factor) {
        (Some(to), _) => Wish::To(decimal("--to", to)?),
        (None, Some(factor)) => Wish::Times(decimal("--factor", factor)?),
        // The command line is refused before it comes here.
        (None, None) => bail!("--to or --factor is missing"),
    };
    let replaces = asked.replaces.as_deref().map(|text| decimal("--replaces", text)).transpose()?;
    correct(&asked.chosen, wish, replaces).await
}

fn decimal(flag: &str, text: &str) -> anyhow::Result<Quantity> {
    let quantity = Quantity::parse(text).with_context(|| format!("{flag} \"{text}\""))?;
    if quantity.is_negative() {
        bail!("{flag} \"{text}\" is below zero, which no record counts with");
    }
    Ok(quantity)
}

/// Who types: the one behind `sudo`, where there is one.
fn who() -> String {
    let named = |name| std::env::var(name).ok().filter(|name| !name.trim().is_empty());
    let user = ["SUDO_USER", "LOGNAME", "USER"].into_iter().find_map(named);
    format!("cli:{}", escaped(user.as_deref().unwrap_or("unknown").trim()))
}

async fn correct(chosen: &Chosen, wish: Wish, replaces: Option<Quantity>) -> anyhow::Result<Exit> {
    if let Err(why) = check_reason(&chosen.reason) {
        bail!("--reason {why}");
    }
    let Reading { config, ledger, .. } = reading::open(&chosen.listing.configured).await?;
    match &chosen.record {
        Some(record) => {
            let (source, id) = trace::named_record(record)?;
            let found = ledger.trace(&source, &id).await?;
            ledger.close().await;
            one(&config, chosen, Single { source, id, found, wish, replaces }).await
        }
        None => many(&config, chosen, ledger, wish).await,
    }
}

/// A command for one record, and what is known of it.
struct Single {
    source: SourceName,
    id: RecordId,
    found: Option<Trace>,
    wish: Wish,
    replaces: Option<Quantity>,
}

impl Single {
    /// The change to be made; nothing when it is made already.
    fn change(&self) -> anyhow::Result<Option<Change>> {
        let (source, id) = (&self.source, &self.id);
        let standing = self.found.as_ref().and_then(|trace| trace.standing.as_ref());
        let waiting = self.found.as_ref().and_then(|trace| trace.corrections.last());
        let quantity = match &self.wish {
            Wish::Cancel => {
                let done = standing == Some(&Standing::Cancelled);
                return Ok(Some(Change::Cancel).filter(|_| !done));
            }
            Wish::To(quantity) => quantity.clone(),
            Wish::Times(_) => bail!("--factor is for many records; say --to"),
        };
        let replaces = match (standing, &self.replaces) {
            (Some(Standing::Cancelled), _) => bail!("{source}/{id} is cancelled, which is final"),
            (Some(Standing::Counts(present)), None) => present.clone(),
            (Some(Standing::Counts(_)) | None, Some(replaces)) => replaces.clone(),
            (None, None) => bail!(
                "{source}/{id} has not come: say with --replaces which quantity it will have, and \
                 the correction waits for it"
            ),
        };
        if standing == Some(&Standing::Counts(quantity.clone())) {
            return Ok(None);
        }
        let change = Change::Adjust { quantity, replaces };
        let waits = standing.is_none() && waiting.is_some_and(|last| last.change == change);
        Ok(Some(change).filter(|_| !waits))
    }

    /// The correction's name where none was given. It counts the corrections before it: the same
    /// change may be made again after another one.
    fn name(&self, change: &Change) -> Result<CorrectionName, NameError> {
        let before = self.found.as_ref().map_or(0, |trace| trace.corrections.len());
        let fields = Fields::of("correction by hand 1")
            .text(self.source.as_str())
            .text(self.id.as_str())
            .number(i64::try_from(before).unwrap_or(i64::MAX));
        let fields = match change {
            Change::Cancel => fields.text("cancel"),
            Change::Adjust { quantity, replaces } => {
                fields.text("adjust").text(&quantity.to_string()).text(&replaces.to_string())
            }
        };
        CorrectionName::new(&format!("tallyd-{}", hex::encode(fields.finish())))
    }
}

async fn one(config: &Config, chosen: &Chosen, single: Single) -> anyhow::Result<Exit> {
    let named = chosen.id.as_deref();
    let named = named
        .map(|id| CorrectionName::new(id).with_context(|| format!("--id \"{id}\"")))
        .transpose()?;
    let (change, name) = match (single.change()?, named) {
        (Some(change), Some(name)) => (change, name),
        (Some(change), None) => {
            let name = single.name(&change)?;
            (change, name)
        }
        (None, _) => return already(chosen, &single),
    };
    let correction = Correction {
        source: single.source,
        record: single.id,
        name,
        change,
        reason: chosen.reason.trim().to_owned(),
        who: who(),
    };
    let kind = correction.change.kind();
    let answers = hand_in(config, kind, vec![correction]).await?;
    let Some(answer) = answers.corrections.into_iter().next() else {
        bail!("the ledger did not say what became of the correction");
    };
    if chosen.listing.json {
        page::print_json(&json!(answer))?;
    } else if !answer.is_refused() {
        page::print(|out| writeln!(out, "{}", sentence(&answer)))?;
    }
    if !answer.is_refused() {
        return Ok(Exit::Ok);
    }
    let Answer { source, record, field, reason, standing, .. } = answer;
    let (record, field) = (record.unwrap_or_default(), field.unwrap_or_default());
    let (reason, standing) = (reason.unwrap_or_default(), standing.unwrap_or_default());
    bail!("{source}/{record}: {field} {reason} (the record stands at: {standing})")
}

fn sentence(answer: &Answer) -> String {
    let Answer { source, record, id, status, standing, .. } = answer;
    let (record, id) = (record.as_deref().unwrap_or_default(), id.as_deref().unwrap_or_default());
    let again = if status == "duplicate" { " again" } else { "" };
    match standing.as_deref() {
        None => format!("{source}/{record} has not come; the correction {id} waits for it{again}."),
        Some("cancelled") => format!("{source}/{record} is cancelled (correction {id}{again})."),
        Some(counts) => {
            format!("{source}/{record} counts with {counts} now (correction {id}{again}).")
        }
    }
}

/// Says that nothing is left to do.
fn already(chosen: &Chosen, single: &Single) -> anyhow::Result<Exit> {
    let (source, id) = (&single.source, &single.id);
    let standing = single.found.as_ref().and_then(|trace| trace.standing.as_ref());
    if chosen.listing.json {
        page::print_json(&json!({
            "source": source.as_str(),
            "record": id.as_str(),
            "status": "unchanged",
            "standing": standing.map(ToString::to_string),
            "waiting": standing.is_none(),
        }))?;
        return Ok(Exit::Ok);
    }
    page::print(|out| match standing {
        None => writeln!(out, "{source}/{id} has not come; the same correction waits for it."),
        Some(Standing::Cancelled) => writeln!(out, "{source}/{id} is cancelled already."),
        Some(Standing::Counts(quantity)) => {
            writeln!(out, "{source}/{id} counts with {quantity} already.")
        }
    })?;
    Ok(Exit::Ok)
}

async fn many(
    config: &Config,
    chosen: &Chosen,
    ledger: SqliteLedger,
    wish: Wish,
) -> anyhow::Result<Exit> {
    let filter = filter::read(&chosen.filter)?;
    let reason = chosen.reason.trim().to_owned();
    let id = match &chosen.id {
        Some(id) => {
            CorrectionName::new(id).with_context(|| format!("--id \"{id}\""))?;
            id.clone()
        }
        None => Command::id_of(&wish, &reason),
    };
    let kind = if wish == Wish::Cancel { CorrectionKind::Cancel } else { CorrectionKind::Adjust };
    let command = Command { wish, id, reason, who: who() };
    let mut plan = find(&ledger, &filter, &command).await?;
    let archives = ledger.archives().await?;
    let reached = archives.filter(|archives| filter.from.is_none_or(|from| from < archives.before));
    plan.archives = reached.map(|Archives { records, before }| PassedOver { records, before });
    ledger.close().await;
    let json = chosen.listing.json;
    if !json {
        page::print(|out| preview::write_plan(out, &command, &plan))?;
    }
    let asked = Asked {
        changes: !plan.corrections.is_empty(),
        preview: chosen.preview,
        yes: chosen.yes,
        json,
    };
    let decision = agree(asked, "Correct them?", "nothing was corrected")?;
    let done = match &decision {
        Decision::Go => {
            let corrections = std::mem::take(&mut plan.corrections);
            Some(hand_in(config, kind, corrections).await.context(
                "the command stopped; run it again, as what was corrected is not corrected twice",
            )?)
        }
        Decision::Stop(_) => None,
    };
    if json {
        page::print_json(&preview::command_json(&command, &plan, done.as_ref()))?;
    } else if let Some(answers) = &done {
        page::print(|out| preview::write_done(out, answers))?;
    }
    Ok(match (decision, done) {
        (Decision::Stop(exit), _) => exit,
        (Decision::Go, Some(answers)) if answers.refused() > 0 => Exit::Failure,
        (Decision::Go, _) => Exit::Ok,
    })
}

async fn find(
    ledger: &SqliteLedger,
    filter: &RecordFilter,
    command: &Command,
) -> anyhow::Result<Plan> {
    let mut plan = Plan::default();
    let mut after = Position(0);
    loop {
        let page = ledger.find_records(filter, after, PAGE_RECORDS).await?;
        let Some(last) = page.last() else { return Ok(plan) };
        after = last.position;
        for record in page {
            plan.take(command, record).context("nothing was corrected")?;
        }
    }
}

/// Hands corrections in, a bounded batch at a time.
async fn hand_in(
    config: &Config,
    kind: CorrectionKind,
    corrections: Vec<Correction>,
) -> anyhow::Result<Answers> {
    let mut door = Door::open(config, kind.as_str()).await?;
    let all = corrections.len();
    let progress = (all > CORRECTIONS_PER_CALL_MAX)
        .then(|| Progress::new("corrected", u64::try_from(all).unwrap_or(u64::MAX)));
    let who = who();
    let mut whole = Answers::default();
    let mut failed = None;
    for chunk in corrections.chunks(CORRECTIONS_PER_CALL_MAX) {
        let mut batch = CorrectionBatch::default();
        let places = (1..).map(Place::Line);
        batch.admitted = places.zip(chunk.iter().cloned()).collect();
        match door.correct(&who, batch).await {
            Ok(answers) => whole.add(answers),
            Err(why) => {
                failed = Some(why);
                break;
            }
        }
        if let Some(progress) = &progress {
            progress.set(whole.items());
        }
    }
    if let Some(progress) = &progress {
        progress.finish();
    }
    door.close().await;
    failed.map_or(Ok(whole), Err)
}
