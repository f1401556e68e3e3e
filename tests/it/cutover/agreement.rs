//! Whether the books agree though another program told some of what the provider holds. Here: its
//! usage is no difference, in totals, invoices or reports; what is held when this program begins,
//! and by the day in shadow, is read and shown. Never here: what is told. Read next:
//! [`super::rehearsal`].

use tallyd::domain::billing::InvoiceStatus;
use tallyd::domain::drift::DriftKind;
use tallyd::domain::time::Window;
use tallyd::ledger::billing::{BillingLedger as _, Learned};
use tallyd::ledger::cutover::ForeignBooks;
use tallyd::ledger::report::{Question, ReportLedger as _};
use tallyd::reconcile::keeper::InLedger;
use tallyd::reconcile::reporter::Reporter;
use tallyd::reconcile::surveyor::Surveyor;
use tallyd::reconcile::{READS_PER_MONTH, Settings};

use super::*;
use crate::support::billing::invoice_of;

const HOUR: i64 = 60;

fn settings() -> Settings {
    Settings { provider: provider_name(), reads_per_month: READS_PER_MONTH }
}

impl Stage {
    /// What is read of what another program told, as it is told by `telling`.
    async fn survey(&self, telling: &Telling, at: i64) {
        self.clock.set(minute(at));
        let (ledger, provider) = (self.world().ledger.clone(), self.world().provider.clone());
        let surveyor = Surveyor::new(settings(), ledger, provider, telling.clone());
        surveyor.run_once(self.clock.now()).await.unwrap();
    }

    async fn foreign(&self) -> ForeignBooks {
        self.world().ledger.foreign_books(&BookFilter::default()).await.unwrap()
    }

    fn reporter(&self, telling: &Telling) -> Reporter {
        let (ledger, provider) = (self.world().ledger.clone(), self.world().provider.clone());
        Reporter::new(settings(), ledger, provider, self.clock.clone()).telling(telling.clone())
    }

    /// The kinds of the differences of a report on all so far.
    async fn differences(&self, telling: &Telling) -> Vec<DriftKind> {
        let (ledger, clock) = (self.world().ledger.clone(), self.clock.clone());
        let range = Window { start: minute(-20 * 24 * HOUR), end: self.clock.now() };
        let question = Question { provider: provider_name(), account: None, meter: None, range };
        let keeper = InLedger { ledger, clock };
        let report = self.reporter(telling).report(&question, &keeper).await.unwrap();
        assert!(report.rows.iter().any(|row| row.total.is_some()) || telling.mode == Mode::Shadow);
        report.run.drifts.into_iter().map(|drift| drift.found.kind).collect()
    }

    /// Has an invoice be final over a period, with this quantity.
    async fn bill(&self, period: Window, quantity: &str) {
        let mut invoice = invoice_of(period, InvoiceStatus::Final, period.end);
        invoice.lines[0].quantity = Quantity::parse(quantity).unwrap();
        let now = self.clock.now();
        let learned = Learned { invoices: vec![invoice], ..Learned::nothing(now) };
        self.world().ledger.learn(&provider_name(), &learned, now).await.unwrap();
    }

    /// How the one final period differs from what was told.
    async fn billed(&self, telling: &Telling) -> Option<String> {
        let periods = self.world().ledger.final_periods(&provider_name(), 10).await.unwrap();
        assert_eq!(periods.len(), 1);
        let found = self.reporter(telling).billed(&periods[0]).await.unwrap();
        found.map(|found| format!("{} {}", found.kind, found.quantity))
    }
}

#[tokio::test]
async fn what_another_program_told_is_no_difference() {
    let telling = live(Some(minute(-90)));
    let stage = Stage::open(WindowRule::Hour, telling.clone()).await;
    stage.told_before("old", "5", minute(-100)).await;
    stage.told_before("older", "100", minute(-5 * 24 * HOUR)).await;
    stage.book("a", "5", minute(-100)).await;
    stage.book("b", "7", minute(-80)).await;
    stage.rest().await;
    // Settlement looks at this day only from the cutover on.
    for look in [9 * HOUR, 9 * HOUR + 11] {
        stage.clock.set(minute(look));
        stage.world().settler.run_once(stage.clock.now()).await.unwrap();
    }
    let events = stage.world().ledger.status().await.unwrap().events;
    assert_eq!(events, [("stripe.main".to_owned(), "settled".to_owned(), 1)]);
    assert_eq!(stage.differences(&telling).await, []);
    // Without the cutover it would be one.
    assert_eq!(stage.differences(&Telling::default()).await, [DriftKind::Excess]);
    stage.world().verify().await;
}

#[tokio::test]
async fn an_invoice_of_the_period_of_the_cutover_is_compared_with_the_opening_balance() {
    let telling = live(Some(minute(-90)));
    let stage = Stage::open(WindowRule::Hour, telling.clone()).await;
    // The period begins within a minute: what was used in that may be another period's.
    let start = minute(-5 * 24 * HOUR).plus_seconds(20);
    stage.told_before("before", "1000", start.plus_seconds(-10)).await;
    stage.told_before("first", "2", start.plus_seconds(10)).await;
    stage.told_before("old", "5", minute(-100)).await;
    stage.book("a", "5", minute(-100)).await;
    stage.book("b", "7", minute(-80)).await;
    stage.rest().await;
    let period = Window { start, end: minute(2 * HOUR) };
    stage.clock.set(minute(4 * HOUR));
    stage.bill(period, "3").await;
    // A total may still lack what the other program told last.
    stage.survey(&telling, 4 * HOUR).await;
    assert_eq!((stage.foreign().await.openings, stage.billed(&telling).await), (Vec::new(), None));
    stage.survey(&telling, 9 * HOUR).await;
    let openings = stage.foreign().await.openings;
    let opening = &openings[0];
    assert_eq!(opening.span, Window { start, end: minute(-90) });
    assert_eq!((opening.low.to_string(), opening.high.to_string()), ("5".into(), "1007".into()));
    assert_eq!(stage.billed(&telling).await.as_deref(), Some("unbilled 2"));
    // It is a fact: it is read once.
    stage.told_before("late", "50", minute(-120)).await;
    stage.survey(&telling, 30 * HOUR).await;
    assert_eq!(stage.foreign().await.openings, openings);
}

#[tokio::test]
async fn a_period_that_another_program_told_whole_is_not_compared() {
    let telling = live(Some(minute(-90)));
    let stage = Stage::open(WindowRule::Hour, telling.clone()).await;
    stage.told_before("old", "5", minute(-300)).await;
    stage.rest().await;
    stage.bill(Window { start: minute(-6_000), end: minute(-90) }, "5").await;
    assert_eq!(stage.billed(&telling).await, None);
    assert_eq!(stage.billed(&Telling::default()).await.as_deref(), Some("unbilled 5"));
}

#[tokio::test]
async fn in_shadow_each_day_that_is_over_is_shown_beside_what_the_provider_holds() {
    let stage = Stage::open(WindowRule::Hour, shadow()).await;
    stage.told_before("one", "5", minute(-100)).await;
    stage.told_before("two", "3", minute(-26 * HOUR)).await;
    stage.book("a", "5", minute(-100)).await;
    stage.book("b", "2", minute(-80)).await;
    stage.book("c", "3", minute(-26 * HOUR)).await;
    stage.rest().await;
    stage.survey(&shadow(), 13 * HOUR).await;
    let said: Vec<String> = stage
        .foreign()
        .await
        .shadowed
        .iter()
        .map(|line| {
            let held = line.held.as_ref().map(|(held, _)| held.to_string());
            format!("{} {} {held:?}", line.day.start, line.would_be_told)
        })
        .collect();
    let day = |hours: i64| minute(hours * HOUR);
    let expected =
        [format!("{} 3 {:?}", day(-36), Some("3")), format!("{} 7 {:?}", day(-12), Some("5"))];
    assert_eq!(said, expected);
    // What the other program told late is seen the day after; nothing is a difference of ours.
    stage.told_before("late", "2", minute(-80)).await;
    stage.survey(&shadow(), 38 * HOUR).await;
    let shadowed = stage.foreign().await.shadowed;
    assert_eq!(shadowed[1].held.as_ref().unwrap().0.to_string(), "7");
    assert_eq!(stage.differences(&shadow()).await, []);
    assert_eq!(stage.holds(), holds("10", 3));
}
