//! Who pays by the month. Here: once everything is told, what each final invoice bills against what
//! was told and used, and what `tallyd reconcile` says of it. Never here: who has a subscription,
//! and what an invoice looks like ([`super::kind`]); whether what was told is what was used
//! ([`super::compare`]). Read next: [`super::provider`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, SecondsFormat};
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::compare::{list, text};
use super::daemon::Home;
use super::memory::Memory;
use super::provider::Provider;
use super::record::{Place, decimal, thousandths};
use super::shared::Shared;

const DAY: i64 = 86_400;
/// How long a daemon may take to learn which invoices are final, in seconds.
const LEARN_SECONDS: u64 = 300;
/// How long before the run its oldest usage is, in seconds, of which a report is asked for.
const REPORTED: i64 = 70 * DAY;

/// What the months came to.
#[derive(Debug, Default)]
pub(crate) struct Months {
    /// Lines of final invoices that were compared; of them, how many differ.
    pub(crate) lines: u64,
    pub(crate) lines_that_differ: u64,
    /// Billed spans that the command's own report has.
    pub(crate) reported: u64,
    /// Reports that were kept, those among them that a daemon made by itself.
    pub(crate) kept: u64,
    /// What must not be, in words.
    pub(crate) findings: Vec<String>,
}

/// A line of a final invoice, in thousandths.
pub(crate) struct Line {
    pub(crate) place: Place,
    pub(crate) span: (i64, i64),
    pub(crate) billed: i128,
}

/// What final invoices bill, and what the provider was told.
pub(crate) struct Billed {
    pub(crate) told: Timed,
    pub(crate) lines: Vec<Line>,
    /// What must not be, in words.
    pub(crate) findings: Vec<String>,
}

/// Compares what final invoices bill with what was told and used, once everything is told: in the
/// provider's own books, in the clients' memory, and in the report of the real command. Nobody runs
/// the daemon before or after it.
pub(crate) async fn conclude(
    home: &Home,
    provider: &Provider,
    memory: &Memory,
    (held, shared): (&BTreeSet<Place>, &Shared),
) -> anyhow::Result<Months> {
    let mut daemon = home.start()?;
    let listening = timeout(Duration::from_secs(LEARN_SECONDS), daemon.listening()).await;
    let address = listening.context("no start for the report")??;
    ensure!(address.is_some(), "the daemon did not start for the report");
    shared.set_address(address);
    let billed = provider.kind.bill(provider).await?;
    let mut made = Months { findings: billed.findings, ..Months::default() };
    compare(&billed.lines, &billed.told, memory, held, &mut made);
    report(home, memory.base(), &billed.lines, &mut made).await?;
    daemon.signal(Signal::TERM)?;
    let ended = timeout(Duration::from_secs(LEARN_SECONDS), daemon.ended()).await;
    let ended = ended.context("the daemon does not stop after the report")??;
    shared.set_address(None);
    ensure!(ended.success(), "after the report the daemon ended with {ended}");
    let (code, verified) = home.read(&["ledger", "verify"]).await?;
    ensure!(code == Some(0), "ledger verify after the report: {}", verified["findings"]);
    Ok(made)
}

/// Quantities at a place, in thousandths, each with its second.
pub(crate) type Timed = BTreeMap<Place, Vec<(i64, i128)>>;

/// Compares the lines with what was told and used.
fn compare(
    lines: &[Line],
    told: &Timed,
    memory: &Memory,
    held: &BTreeSet<Place>,
    made: &mut Months,
) {
    let mut used = Timed::new();
    for record in memory.records().iter().filter(|record| !record.too_old) {
        let each = (record.second, i128::from(record.expected));
        used.entry(record.place).or_default().push(each);
    }
    for Line { place, span, billed } in lines {
        let within = |of: &Timed| -> i128 {
            let all = of.get(place).map(Vec::as_slice).unwrap_or_default();
            let inside = all.iter().filter(|(second, _)| (span.0..span.1).contains(second));
            inside.map(|(_, value)| value).sum()
        };
        let (told, used) = (within(told), within(&used));
        made.lines += 1;
        // What is held back of a place is compared with its sum, which has no spans.
        let is_exact = !held.contains(place);
        if *billed != told.max(0) || (is_exact && told != used) {
            made.lines_that_differ += 1;
            let [billed, told, used] = [*billed, told, used].map(decimal);
            made.findings
                .push(format!("{place} {span:?}: billed {billed}, told {told}, used {used}"));
        }
    }
}

/// Waits until the daemon has learned what is final, and has the real command report on everything.
async fn report(home: &Home, base: i64, lines: &[Line], made: &mut Months) -> anyhow::Result<()> {
    let since = DateTime::from_timestamp(base - REPORTED, 0).unwrap_or_default();
    let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
    let wanted: Vec<&Line> = lines.iter().filter(|line| line.billed > 0).collect();
    let began = Instant::now();
    let (rows, drifts) = loop {
        let (_, said) = home.read(&["reconcile", "--since", &since]).await?;
        let report = said["reports"].get(0).cloned().unwrap_or_default();
        let rows = rows(&report);
        let is_known = |line: &&&Line| rows.contains_key(&(line.place, line.span));
        let unknown = wanted.iter().filter(|line| !is_known(line)).count();
        if unknown == 0 {
            made.kept = report["run"].as_u64().unwrap_or_default();
            break (rows, list(&report, "drifts").to_vec());
        }
        ensure!(
            began.elapsed() < Duration::from_secs(LEARN_SECONDS),
            "of {} lines that are final, {unknown} are not known to the ledger",
            wanted.len()
        );
        sleep(Duration::from_secs(1)).await;
    };
    for Line { place, span, billed } in wanted {
        let Some((told, known)) = rows.get(&(*place, *span)) else { continue };
        if (*told, *known) != (*billed, *billed) {
            let [told, known, billed] = [*told, *known, *billed].map(decimal);
            made.findings.push(format!(
                "{place} {span:?}: the report has {told} told and {known} billed of {billed}"
            ));
        }
    }
    made.reported = u64::try_from(rows.len())?;
    // What is too old for any period is held, and named so: that is no difference of the books.
    let other = drifts.iter().filter(|drift| drift["kind"] != "late");
    made.findings.extend(other.map(|drift| format!("the report has a difference: {drift}")));
    Ok(())
}

/// What a report has told and billed of each span that an invoice bills, in thousandths.
fn rows(report: &Value) -> BTreeMap<(Place, (i64, i64)), (i128, i128)> {
    let row = |row: &Value| {
        let place = Place::named(text(row, "meter"), text(row, "account"))?;
        let second = |field| Some(DateTime::parse_from_rfc3339(text(row, field)).ok()?.timestamp());
        let span = (second("start")?, second("end")?);
        let told = thousandths(text(row, "told"))?;
        let billed = row["invoices"].get(0)?["billed"].as_str().and_then(thousandths)?;
        Some(((place, span), (told, billed)))
    };
    list(report, "rows").iter().filter_map(row).collect()
}

/// What a daemon's own reports found while it was under fire that must not be: it reports each
/// minute, and says each difference. What waits or is held is none.
pub(crate) fn said_to_differ(log: &str) -> Vec<String> {
    let differ = |line: &&str| line.contains("ledger, provider and invoices differ");
    let kinds: BTreeSet<&str> = ["excess", "unknown_remote", "missing", "unbilled"].into();
    let is_wrong = |line: &&str| {
        kinds.iter().any(|kind| {
            let quoted = format!("kind=\"{kind}\"");
            line.contains(&quoted) || line.contains(&format!("kind={kind} "))
        })
    };
    log.lines().filter(differ).filter(is_wrong).map(str::to_owned).collect()
}
