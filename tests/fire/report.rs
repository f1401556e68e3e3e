//! What a run tells. Here: progress lines, the table at the end, and whether all is well. Never
//! here: what was found out and how. Read next: [`super::compare`].

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::compare::Comparison;
use super::director::Deeds;
use super::kind::Kind;
use super::memory::Memory;
use super::months;
use super::record::decimal;
use super::shared::Shared;

/// Findings that are printed.
const FINDINGS_MAX: usize = 60;
/// What a daemon says at its start after a crash in mid-send: without it no kill met a request.
const MID_SEND: &str = "an earlier run ended in mid-send";

/// Says a line.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{text}")?;
    Ok(())
}

/// Says how far the run is.
pub(crate) fn progress(deeds: &Deeds, shared: &Shared, began: Instant) -> anyhow::Result<()> {
    let counts = shared.memory().counts.clone();
    say(&format!(
        "{:>5} s  {} killed, {} stopped in order; {} records acknowledged, {} requests unanswered, \
         {} repeated",
        began.elapsed().as_secs(),
        deeds.killed,
        deeds.asked,
        counts.acknowledged,
        counts.unanswered,
        counts.repeated,
    ))
}

/// What a run came to.
pub(crate) struct Outcome {
    pub(crate) kind: Kind,
    pub(crate) seed: u64,
    pub(crate) took: Duration,
    pub(crate) deeds: Deeds,
    pub(crate) comparison: Comparison,
    pub(crate) statistics: Value,
    pub(crate) webhooks: Value,
    pub(crate) log: String,
    /// Where ledger, config and log were kept, when something was found.
    pub(crate) kept: Option<PathBuf>,
    pub(crate) memory: Memory,
}

impl Outcome {
    /// Everything that must not be.
    fn findings(&self) -> Vec<String> {
        let (met, more) = self.memory.findings();
        let mut findings: Vec<String> = met.to_vec();
        if more > 0 {
            findings.push(format!("and {more} more that clients or the director met"));
        }
        findings.extend(self.comparison.findings.iter().cloned());
        findings.extend(months::said_to_differ(&self.log));
        if let Some(line) = self.log.lines().find(|line| line.contains("panicked")) {
            findings.push(format!("a daemon panicked: {line}"));
        }
        if self.deeds.killed > 0 && !self.log.contains(MID_SEND) {
            findings.push("no kill met a request on its way: the run proves little".to_owned());
        }
        if self.deeds.killed > 0 && self.memory.counts.unanswered == 0 {
            findings.push("no client was left unanswered: the run proves little".to_owned());
        }
        let corrected = self.memory.records().iter().any(|record| record.corrected);
        if corrected && self.comparison.events_cancelled == 0 {
            findings.push("no correction met an event: the run proves little".to_owned());
        }
        findings
    }

    pub(crate) fn is_well(&self) -> bool {
        self.findings().is_empty()
    }

    fn rows(&self) -> Vec<(String, u64)> {
        let Self { deeds, comparison, .. } = self;
        let counts = &self.memory.counts;
        let mid_send = self.log.lines().filter(|line| line.contains(MID_SEND)).count();
        let mut rows: Vec<(String, u64)> = [
            ("daemons killed (SIGKILL)", deeds.killed),
            ("… of them before they listened", deeds.killed_before_it_listened),
            ("… of them while they stopped (SIGTERM before)", deeds.asked_and_killed),
            ("… that left requests on their way", u64::try_from(mid_send).unwrap_or(u64::MAX)),
            ("daemons stopped in order (SIGTERM)", deeds.asked),
            ("daemons halted for a while (SIGSTOP, SIGCONT)", deeds.stopped),
            ("times the disk was filled", deeds.filled),
            ("… and the daemon gave up (74 or 75)", deeds.gave_up_on_a_full_disk),
            ("starts that found the ledger in use by an import", deeds.found_the_ledger_in_use),
            ("storms of 429", deeds.storms),
            ("outages of the provider", deeds.outages),
            ("records acknowledged", counts.acknowledged),
            ("parcels of records", counts.parcels),
            ("requests and imports unanswered", counts.unanswered),
            ("… of them cut by the client", counts.cut),
            ("… repeated, with the same ids", counts.repeated),
            ("parcels sent again after their acknowledgement", counts.sent_after_acknowledgement),
            ("records recognised as known", counts.duplicates),
            ("imports of files", counts.imports),
            ("… killed", counts.imports_killed),
            ("… that failed with the daemon or the disk", counts.imports_failed),
            ("rotations of the file that is read as it grows", counts.rotations),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into();
        rows.extend(
            counts.refused.iter().map(|(code, count)| (format!("refused: {code}"), *count)),
        );
        rows.extend(self.correction_rows());
        rows.extend(self.provider_rows());
        rows.extend(
            [
                ("meter events in the ledger", comparison.events_in_the_ledger),
                ("meter events at the provider", comparison.events_at_the_provider),
                ("… of them cancelled", comparison.events_cancelled),
            ]
            .into_iter()
            .chain(comparison.compared.iter().copied())
            .chain([
                ("lines of final invoices compared", comparison.months.lines),
                ("… that differ", comparison.months.lines_that_differ),
                ("… as the real command reports them", comparison.months.reported),
                ("reports kept, the daemons' own among them", comparison.months.kept),
            ])
            .map(|(name, count)| (name.to_owned(), count)),
        );
        for what in ["delivered", "refused", "lost"] {
            let count = self.webhooks[what].as_u64().unwrap_or_default();
            rows.push((format!("webhooks {what}"), count));
        }
        let held = comparison.held.iter();
        rows.extend(held.map(|(why, (count, sum))| {
            (format!("held as they must be: {why}, {} together", decimal(*sum)), *count)
        }));
        rows.extend(
            [
                ("held without a cause", comparison.held_without_cause),
                ("lost", comparison.lost),
                ("doubled", comparison.doubled),
                ("unexplained", comparison.unexplained),
            ]
            .map(|(name, count)| (name.to_owned(), count)),
        );
        rows
    }

    /// Corrections, by kind and what became of them.
    fn correction_rows(&self) -> Vec<(String, u64)> {
        let fixes = &self.memory.fixes;
        let corrected = self.memory.records().iter().filter(|record| record.corrected).count();
        let mut rows = vec![
            ("records corrected".to_owned(), u64::try_from(corrected).unwrap_or(u64::MAX)),
            ("corrections in the ledger".to_owned(), fixes.accepted),
            ("… that came to nothing with their record".to_owned(), fixes.without_effect),
        ];
        rows.extend(fixes.counts.iter().map(|(what, count)| (format!("… {what}"), *count)));
        rows
    }

    /// Attempts, and what the provider did to them.
    fn provider_rows(&self) -> Vec<(String, u64)> {
        let numbers = |of: &Value| -> Vec<(String, u64)> {
            let entries = of.as_object().into_iter().flatten();
            entries.filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect()
        };
        let mut rows = Vec::new();
        for (what, route) in self.kind.facts().attempts {
            let answers = numbers(&self.statistics["requests"][route]);
            rows.push(((*what).to_owned(), answers.iter().map(|(_, count)| count).sum()));
            rows.extend(answers.into_iter().map(|(status, count)| (format!("… {status}"), count)));
        }
        let refused = self.statistics["duplicates_refused"].as_u64().unwrap_or_default();
        rows.push(("events recognised by the provider".to_owned(), refused));
        let faults = numbers(&self.statistics["faults"]);
        rows.extend(faults.into_iter().map(|(kind, count)| (format!("fault: {kind}"), count)));
        rows
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        writeln!(f)?;
        for (name, count) in rows {
            writeln!(f, "{name:<width$}  {count:>9}")?;
        }
        writeln!(f, "\nseed {}, {} s", self.seed, self.took.as_secs())?;
        let findings = self.findings();
        for finding in findings.iter().take(FINDINGS_MAX) {
            writeln!(f, "FOUND  {finding}")?;
        }
        if let Some(folder) = &self.kept {
            writeln!(f, "ledger, config and log are kept in {}", folder.display())?;
        }
        match findings.len() {
            0 => {
                let Comparison { lost, doubled, unexplained, .. } = &self.comparison;
                writeln!(f, "lost {lost}, doubled {doubled}, unexplained {unexplained}")?;
                writeln!(f, "Nothing is lost, doubled or unexplained.")
            }
            count => writeln!(f, "{count} findings."),
        }
    }
}
