//! Reports while the ledger moves. Here: what is told between the list of what is compared and the
//! readings. Never here: a ledger that stands still ([`super`]). Read next: [`super::Stand`].

use async_trait::async_trait;
use tallyd::domain::names::ProviderName;
use tallyd::ledger::reconcile::{Comparison, Concluded};
use tallyd::ledger::report::Run;
use tallyd::reconcile::keeper::{KeepError, Keeper};

use super::{HOUR, START, Stand, question};

/// A keeper before whom everything that waits is told as soon as readings are counted.
struct Telling<'s>(&'s Stand);

#[async_trait]
impl Keeper for Telling<'_> {
    async fn count_reads(&self, provider: &ProviderName, calls: u32) -> Result<(), KeepError> {
        self.0.work().await;
        self.0.keeper.count_reads(provider, calls).await
    }

    async fn keep(&self, run: &Run) -> Result<i64, KeepError> {
        self.0.keeper.keep(run).await
    }

    async fn conclude(&self, comparison: Comparison) -> Result<Concluded, KeepError> {
        self.0.keeper.conclude(comparison).await
    }
}

#[tokio::test]
async fn what_an_account_is_told_for_the_first_time_during_a_report_is_nobody_elses() {
    let stand = Stand::plain().await;
    // Its hour is not over: it is booked, and not told yet.
    stand.book("a", "cus_1", "5", 0).await;
    stand.world.clock.set(START.plus_seconds(2 * HOUR));
    let asked = question(None, START.plus_seconds(2 * HOUR));
    let report = stand.reporter.report(&asked, &Telling(&stand)).await.unwrap();
    let totals: Vec<String> =
        report.rows.iter().filter_map(|row| row.total.as_ref()).map(ToString::to_string).collect();
    assert_eq!(totals, ["5"], "it was told before it was read");
    assert_eq!(report.run.drifts, []);
}
