//! SIGKILL at many moments, with a provider that loses one answer in ten.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use tallyd::sandbox::faults::{FaultKind, Faults};

use crate::support::daemon::{Billing, Home, METERS, Sums, TestDaemon, until, usage};

/// How often the daemon is killed: five times at each moment.
const KILLS: u64 = 20;
/// Requests in each round, sent at once.
const REQUESTS: u64 = 6;
/// Records in each request.
const RECORDS: u64 = 15;

/// Where in the journey the daemon is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Intake,
    Accrual,
    Posting,
    Delivery,
}

const MOMENTS: [Moment; 4] = [Moment::Intake, Moment::Accrual, Moment::Posting, Moment::Delivery];

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's multiplier and increment; the high bits are the good ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What a client remembers: the records not acknowledged yet, and the sums of all it ever made, in
/// thousandths.
#[derive(Default)]
struct Memory {
    made: u64,
    unacknowledged: Vec<Vec<Value>>,
    thousandths: BTreeMap<(String, String), u64>,
}

impl Memory {
    fn request(&mut self, dice: &mut Dice) -> Vec<Value> {
        (0..RECORDS).map(|_| self.record(dice)).collect()
    }

    fn record(&mut self, dice: &mut Dice) -> Value {
        self.made += 1;
        let customer = format!("cus_{}", dice.below(12));
        let meter = if dice.below(2) == 0 { METERS[0] } else { METERS[1] };
        let thousandths = dice.below(5_000);
        *self.thousandths.entry((meter.to_owned(), customer.clone())).or_default() += thousandths;
        let quantity = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
        let seconds = i64::try_from(7_200 + dice.below(24 * 3_600)).unwrap();
        usage(&format!("r{}", self.made), &customer, meter, &quantity, seconds)
    }

    fn sums(&self) -> Sums {
        let text = |thousandths: &u64| {
            let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        self.thousandths.iter().map(|(place, sum)| (place.clone(), text(sum))).collect()
    }

    /// Sends all that was not acknowledged, each request by itself and all at once, until `enough`
    /// are acknowledged. What is not stays to be sent again.
    async fn send(&mut self, daemon: &TestDaemon, enough: usize) {
        let mut sending: FuturesUnordered<_> = self
            .unacknowledged
            .iter()
            .enumerate()
            .map(|(index, records)| async move {
                (index, daemon.try_post(Value::from(records.as_slice()).to_string()).await)
            })
            .collect();
        let mut acknowledged = Vec::new();
        while acknowledged.len() < enough
            && let Some((index, reply)) = sending.next().await
        {
            let reply = reply.expect("the daemon runs");
            assert_eq!(reply.status, 200, "{}", reply.text);
            acknowledged.push(index);
        }
        drop(sending);
        let mut index = 0;
        self.unacknowledged.retain(|_| {
            index += 1;
            !acknowledged.contains(&(index - 1))
        });
    }
}

/// How many meter events the ledger has made, in whatever state.
fn events(status: &Value) -> i64 {
    let events = status["events"].as_array().unwrap().iter();
    events.map(|event| event["count"].as_i64().unwrap()).sum()
}

/// Lets the daemon come to `moment`, with usage under way.
async fn come_to(
    moment: Moment,
    daemon: &TestDaemon,
    provider: &Billing,
    memory: &mut Memory,
    dice: &mut Dice,
) {
    let made_before = events(&daemon.status().await);
    let told_before = provider.handle.statistics().meter_events_accepted;
    let all = memory.unacknowledged.len();
    match moment {
        // Some requests are answered; the others are in whatever state they are in.
        Moment::Intake => {
            let enough = usize::try_from(1 + dice.below(REQUESTS - 1)).unwrap();
            memory.send(daemon, enough).await;
        }
        // All are answered, and accrual has just been woken.
        Moment::Accrual => memory.send(daemon, all).await,
        Moment::Posting => {
            memory.send(daemon, all).await;
            daemon.level("posting", |status| events(status) > made_before).await;
        }
        Moment::Delivery => {
            memory.send(daemon, all).await;
            let enough = told_before + 1 + dice.below(30);
            until("delivery", async || {
                let told = provider.handle.statistics().meter_events_accepted;
                if told >= enough { Ok(()) } else { Err(format!("{told} of {enough}")) }
            })
            .await;
        }
    }
}

#[tokio::test]
async fn killed_at_twenty_moments_under_lost_answers_it_loses_nothing_and_doubles_nothing() {
    let provider = Billing::with(|stripe| {
        stripe.latency = std::time::Duration::from_millis(5);
        stripe.faults = Faults {
            seed: 7,
            basis_points: [(FaultKind::AnswerLost, 1_000)].into(),
            ..Faults::default()
        };
    })
    .await;
    let home = Home::new(&provider.url);
    let (mut dice, mut memory) = (Dice(20_261_120), Memory::default());
    for kill in 0..KILLS {
        let daemon = home.start().await;
        home.verify().await;
        for _ in 0..REQUESTS {
            let request = memory.request(&mut dice);
            memory.unacknowledged.push(request);
        }
        let moment = MOMENTS[usize::try_from(kill % 4).unwrap()];
        come_to(moment, &daemon, &provider, &mut memory, &mut dice).await;
        daemon.kill().await;
    }
    let daemon = home.start().await;
    let all = memory.unacknowledged.len();
    memory.send(&daemon, all).await;
    daemon.all_told(usize::try_from(memory.made).unwrap()).await;
    daemon.stop().await;
    assert_eq!(home.run(&["ledger", "verify"]).await.status.code(), Some(0));
    assert_eq!(provider.books(), memory.sums());
    // The test would prove nothing if no kill had met a request on its way, or no answer were
    // lost.
    assert!(home.said().contains("an earlier run ended in mid-send"), "{}", home.said());
    assert!(provider.handle.statistics().replays > 0);
}
