//! Distinct values by chance: what windows come to beside a model of the records. Here: random
//! orders of usage, corrections, lost answers and bounds of periods. Never here: a directed case
//! ([`super`]). Read next: [`crate::ledger_properties`].

use std::collections::{BTreeMap, BTreeSet};

use tallyd::clock::Clock as _;
use tallyd::domain::correction::Change;
use tallyd::sandbox::faults::{FaultKind, Faults};
use tallyd::service::Service as _;

use super::{DAY, HOUR, Stage, adjust, used};

/// Chance, by a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
        (self.0 >> 33) % bound
    }

    fn minute(&mut self) -> i64 {
        i64::try_from(self.below(240)).unwrap()
    }
}

/// A record as the test knows it: whose, when, and what it counts with.
struct Known {
    user: String,
    minute: i64,
    quantity: Option<i64>,
    corrections: u32,
}

/// How many values each window has, of those that `bound` parts too.
fn distinct(records: &BTreeMap<String, Known>, bound: Option<i64>) -> String {
    let standing = records.values().filter(|record| record.quantity.is_some_and(|each| each > 0));
    let window = |minute: i64| (minute / HOUR, bound.is_some_and(|bound| minute >= bound));
    let values: BTreeSet<_> =
        standing.map(|record| (window(record.minute), record.user.as_str())).collect();
    values.len().to_string()
}

/// Books, corrects, tells and learns in a random order; the ledger verifies itself after each step,
/// and comes to what a model of the records does.
async fn random(seed: u64) {
    let stage = match seed % 2 {
        0 => Stage::hourly().await,
        _ => Stage::of_totals().await,
    };
    let mut chance = Chance(seed);
    let basis_points = [(FaultKind::AnswerLost, 2_000), (FaultKind::ErrorAfter, 500)];
    let basis_points = basis_points.into_iter().collect();
    stage.sandbox.handle.set_faults(Faults { seed, basis_points, ..Faults::default() }).unwrap();
    let mut records: BTreeMap<String, Known> = BTreeMap::new();
    let (mut bound, mut minute) = (None, 0);
    for step in 0..24 {
        match chance.below(8) {
            0..=3 => {
                let (id, user) = (format!("r{step}"), format!("u{}", chance.below(3)));
                let (at, quantity) = (chance.minute(), i64::try_from(chance.below(3)).unwrap());
                let record = used(&id, &user, at, &quantity.to_string());
                stage.world.accept(vec![record]).await;
                let quantity = Some(quantity);
                records.insert(id, Known { user, minute: at, quantity, corrections: 0 });
            }
            4 | 5 if !records.is_empty() => {
                let place =
                    usize::try_from(chance.below(u64::try_from(records.len()).unwrap())).unwrap();
                let (id, known) = records.iter_mut().nth(place).unwrap();
                let Some(present) = known.quantity else { continue };
                let to = i64::try_from(chance.below(3)).unwrap();
                let cancels = chance.below(3) == 0;
                known.quantity = (!cancels).then_some(to);
                known.corrections += 1;
                let change = if cancels { Change::Cancel } else { adjust(present, to) };
                let name = known.corrections.to_string();
                stage.correct(id, &name, change).await;
            }
            // A bound within an hour has parts of it count each for itself.
            6 if bound.is_none() && seed.is_multiple_of(4) => {
                bound = Some(150);
                stage.billed(150, 30 * DAY).await;
            }
            _ => {
                minute += chance.minute() / 2;
                stage.until(minute).await;
            }
        }
        while stage.world.accruer.run_once(stage.clock.now()).await.unwrap().did_something() {}
        stage.world.verify().await;
        if bound.is_none() {
            assert_eq!(stage.accrued().await, distinct(&records, None), "seed {seed}");
        }
    }
    stage.sandbox.handle.set_faults(Faults::default()).unwrap();
    stage.until(minute.max(5 * HOUR)).await;
    assert_eq!(stage.accrued().await, distinct(&records, bound), "seed {seed}");
    if stage.held().await.is_empty() {
        assert_eq!(stage.total(), stage.accrued().await, "seed {seed}");
    }
}

#[tokio::test]
async fn whatever_comes_in_whatever_order_a_window_counts_the_values_that_stand() {
    for seed in 0..24 {
        random(seed).await;
    }
}
