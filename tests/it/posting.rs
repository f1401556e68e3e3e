//! What posting reads of the ledger. Here: the events of a balance that a plan needs, where a
//! provider undoes nothing. Never here: the plan. Read next: [`crate::journey`].

use std::collections::HashMap;

use tallyd::accrual::accruer::Accruer;
use tallyd::accrual::route::{Route, WindowRule};
use tallyd::domain::answer::Outcome;
use tallyd::domain::provider_facts::ClockReading;
use tallyd::domain::state::{EventState, HoldReason};
use tallyd::domain::time::Timestamp;
use tallyd::ledger::delivery::{DeliveryLedger as _, Leased, Settlement};
use tallyd::ledger::intake::IntakeLedger as _;
use tallyd::ledger::posting::{Needed, PostingLedger as _};
use tallyd::posting::poster::Poster;
use tallyd::service::Service;
use tallyd::store::sqlite::SqliteLedger;

use crate::support::journey::{provider_name, record, route};
use crate::support::stand_in::{agreeable, answer, ledger, terms};
use crate::support::stripe::NOON;

const START: Timestamp = Timestamp::from_seconds(NOON);

/// Books what was accepted.
async fn run(service: &dyn Service) {
    while service.run_once(START).await.unwrap().did_something() {}
}

fn settled(leased: Leased, to: EventState) -> Settlement {
    let refused = to == EventState::Held;
    let reason = HoldReason::Refused;
    Settlement {
        event: leased.event,
        attempt: leased.attempt,
        answer: answer(if refused { Outcome::Refused(reason) } else { Outcome::Accepted }),
        answered_at: START,
        to,
        hold: refused.then(|| (reason, "so it was answered".to_owned())),
        next_attempt_at: None,
        ambiguous: false,
        new_key: false,
        failed: false,
    }
}

/// The states of the events of the balances that are due, in the order in which they were told.
async fn read(ledger: &SqliteLedger, needed: Needed) -> Vec<Vec<EventState>> {
    let due = ledger.due_balances(&provider_name(), needed, START, 10).await.unwrap();
    let states = |events: &[tallyd::ledger::posting::PostedEvent]| {
        events.iter().map(|event| event.state).collect()
    };
    due.iter().map(|each| states(&each.events)).collect()
}

#[tokio::test]
async fn what_was_accepted_long_ago_is_not_read_where_a_provider_undoes_nothing() {
    use EventState::{Accepted, Held, InFlight, Pending};
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    let reading = ClockReading { provider_at: START, local_at: START };
    ledger.read_clock(&provider_name(), reading).await.unwrap();
    let routes = vec![Route { window: WindowRule::Ever, ..route("calls") }];
    let prefixes = HashMap::from([(provider_name(), "cus_")]);
    let accruer = Accruer::adopt(ledger.clone(), routes, prefixes, START).await.unwrap();
    let poster = Poster::new(provider_name(), ledger.clone(), agreeable(START));
    let steps = [Some(Accepted), Some(Held), Some(Accepted), Some(Accepted), Some(InFlight), None];
    let used = async |number: usize| {
        let at = START.plus_seconds(-3_600);
        let usage = ["cus_1", "cus_2"].map(|customer| {
            record(&format!("{customer}-{number}"), customer, "calls", "1", at).into()
        });
        ledger.accept(usage.into(), Vec::new(), START).await.unwrap();
        run(&accruer).await;
    };
    for (number, to) in steps.into_iter().enumerate() {
        used(number).await;
        run(&poster).await;
        let Some(to) = to else { continue };
        let leased = ledger.lease(&provider_name(), terms(START, 10)).await.unwrap().leased;
        assert_eq!(leased.len(), 2);
        if to != InFlight {
            let settlements = leased.into_iter().map(|leased| settled(leased, to)).collect();
            ledger.settle(&provider_name(), settlements, None, START).await.unwrap();
        }
    }
    used(steps.len()).await;
    let living = vec![Accepted, Held, Accepted, Accepted, InFlight, Pending];
    assert_eq!(read(&ledger, Needed::Living).await, vec![living; 2]);
    assert_eq!(read(&ledger, Needed::Open).await, vec![vec![Held, Accepted, InFlight, Pending]; 2]);
}
