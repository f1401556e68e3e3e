//! Figures and how they are told. Here: medians, spreads, ratios, and the table. Never here: a
//! measurement. No float is needed: a ratio is kept in tenths of a percent.

use std::fmt;
use std::time::Duration;

/// One in tenths of a percent.
const WHOLE: u64 = 1_000;

/// Something measured against its ceiling, once a round.
#[derive(Debug)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) name: &'static str,
    /// What it was measured against.
    pub(crate) ceiling_name: &'static str,
    /// What both are counted in.
    pub(crate) unit: &'static str,
    /// What was measured, by round.
    pub(crate) subject: Vec<u64>,
    /// The ceiling, by round.
    pub(crate) ceiling: Vec<u64>,
    /// What is asked of the ratio, if something is.
    pub(crate) goal: Goal,
}

/// What is asked of a ratio, in tenths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// At least this much.
    AtLeast(u64),
    /// At most this much.
    AtMost(u64),
    /// Nothing: it is reported.
    Report,
}

impl Figure {
    /// The ratio of each round, in order of size.
    fn ratios(&self) -> Vec<u64> {
        let mut ratios: Vec<u64> = self
            .subject
            .iter()
            .zip(&self.ceiling)
            .map(|(subject, ceiling)| subject * WHOLE / (*ceiling).max(1))
            .collect();
        ratios.sort_unstable();
        ratios
    }

    /// Whether the median ratio meets the goal, where there is one.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let ratio = median(&self.ratios());
        match self.goal {
            Goal::AtLeast(least) => Some(ratio >= least),
            Goal::AtMost(most) => Some(ratio <= most),
            Goal::Report => None,
        }
    }
}

/// The middle one; of an even number, the lower of the two.
pub(crate) fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len().saturating_sub(1) / 2;
    sorted.get(middle).copied().unwrap_or_default()
}

/// How many a second.
pub(crate) fn per_second(count: usize, took: Duration) -> u64 {
    let count = u128::try_from(count).unwrap_or(u128::MAX);
    let rate = count.saturating_mul(1_000_000_000) / took.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// The figures as people read them.
pub(crate) struct Table<'a>(pub(crate) &'a [Figure]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["figure", "ratio", "lowest–highest", "goal", "met", "median", "ceiling"];
        let mut rows = vec![heads.map(str::to_owned)];
        for figure in self.0 {
            let ratios = figure.ratios();
            let (low, high) = (ratios.first(), ratios.last());
            let spread = format!("{}–{}", percent(low.copied()), percent(high.copied()));
            let goal = match figure.goal {
                Goal::AtLeast(least) => format!("≥ {}", percent(Some(least))),
                Goal::AtMost(most) => format!("≤ {}", percent(Some(most))),
                Goal::Report => "report".to_owned(),
            };
            let met = match figure.is_met() {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            };
            rows.push([
                figure.name.to_owned(),
                percent(Some(median(&ratios))),
                spread,
                goal,
                met.to_owned(),
                format!("{} {}", median(&figure.subject), figure.unit),
                format!("{} ({})", median(&figure.ceiling), figure.ceiling_name),
            ]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..heads.len()).filter_map(width).collect();
        for row in &rows {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}", width = *width))
                .collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

fn percent(ratio: Option<u64>) -> String {
    let ratio = ratio.unwrap_or_default();
    format!("{}.{} %", ratio / 10, ratio % 10)
}
