//! The step of posting. Here: reading balances that are due, planning, encoding, storing. Never
//! here: the plan itself; sending. Read next: [`super::plan`].

use std::sync::Arc;

use async_trait::async_trait;

use super::plan::{Plan, deadline, plan};
use crate::domain::event::{EventIntent, Identifier, Says};
use crate::domain::names::ProviderName;
use crate::domain::state::HoldReason;
use crate::domain::time::{MICROS_PER_MINUTE, MICROS_PER_SECOND, Timestamp};
use crate::ledger::delivery::DeliveryLedger;
use crate::ledger::posting::{DueBalance, EncodedEvent, Posting, PostingLedger};
use crate::provider::{CannotTell, Provider};
use crate::service::{Service, Step, StepError};

/// Balances in one step.
pub const BATCH_BALANCES: u32 = 1_000;
/// How long a balance waits, in microseconds, whose meter cannot be told now: the meter may be
/// learned, declared or reactivated meanwhile.
const METER_WAIT_MICROS: i64 = MICROS_PER_MINUTE;

/// How long posting waits, in microseconds, for a new reading of the provider's clock.
const CLOCK_WAIT_MICROS: i64 = MICROS_PER_SECOND;

/// What posting needs to read and write.
pub trait PosterLedger: PostingLedger + DeliveryLedger {}
impl<T: PostingLedger + DeliveryLedger> PosterLedger for T {}

/// The service that posts the balances of one provider instance.
pub struct Poster {
    name: String,
    provider_name: ProviderName,
    ledger: Arc<dyn PosterLedger>,
    provider: Arc<dyn Provider>,
}

impl Poster {
    /// The poster of `provider`.
    #[must_use]
    pub fn new(
        provider_name: ProviderName,
        ledger: Arc<dyn PosterLedger>,
        provider: Arc<dyn Provider>,
    ) -> Self {
        Self { name: format!("posting to {provider_name}"), provider_name, ledger, provider }
    }

    fn posting(&self, due: &DueBalance, provider_now: Timestamp, now: Timestamp) -> Posting {
        let balance = &due.balance;
        let (plan, capabilities) = match self.provider.capabilities(&balance.key.meter) {
            Ok(capabilities) => (plan(due, &capabilities, provider_now, now), Some(capabilities)),
            Err(cannot) => (cannot_tell(cannot, now), None),
        };
        let mut posting = Posting {
            balance: balance.id,
            version: balance.version,
            voided: plan.void,
            superseded: plan.supersede,
            events: Vec::new(),
            hold: plan.hold,
            due_at: plan.wait_until,
        };
        for (tell, ordinal) in plan.tell.into_iter().zip(balance.events + 1..) {
            let identifier = Identifier::of(
                self.ledger.ledger_id(),
                balance,
                ordinal,
                &tell.quantity,
                tell.occurred_at,
            );
            let intent = EventIntent {
                balance: balance.id,
                ordinal,
                identifier,
                says: Says::Usage,
                quantity: tell.quantity,
                occurred_at: tell.occurred_at,
            };
            match self.provider.encode(&balance.key.meter, &balance.key.account, &intent) {
                Ok(encoded) => posting.events.push(EncodedEvent {
                    deadline_at: capabilities
                        .as_ref()
                        .map_or(tell.occurred_at, |has| deadline(tell.occurred_at, has)),
                    intent,
                    target: None,
                    born_held: None,
                    body: encoded.body,
                    not_before: now,
                }),
                // Nothing of a plan is stored unless all of it can be said.
                Err(error) => {
                    return Posting {
                        voided: Vec::new(),
                        superseded: Vec::new(),
                        events: Vec::new(),
                        hold: Some((HoldReason::NoMeter, error.to_string())),
                        due_at: Some(now.plus_micros(METER_WAIT_MICROS)),
                        ..posting
                    };
                }
            }
        }
        posting
    }
}

fn cannot_tell(cannot: CannotTell, now: Timestamp) -> Plan {
    Plan {
        hold: Some((cannot.reason, cannot.why)),
        wait_until: Some(now.plus_micros(METER_WAIT_MICROS)),
        ..Plan::default()
    }
}

#[async_trait]
impl Service for Poster {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        // Before first contact nothing is known of the provider's clock, nor of its meters.
        let Some(clock) = self.ledger.provider_facts(&self.provider_name).await?.clock else {
            return Ok(Step::default());
        };
        // This host's clock may have stepped since: a balance must not be held as too old by it.
        // Delivery reads the provider's clock anew before it sends anything.
        if clock.is_stale(now) {
            return Ok(Step {
                wake_at: Some(now.plus_micros(CLOCK_WAIT_MICROS)),
                ..Step::default()
            });
        }
        let due = self.ledger.due_balances(&self.provider_name, now, BATCH_BALANCES).await?;
        if due.is_empty() {
            let wake_at = self.ledger.next_due_at(&self.provider_name).await?;
            return Ok(Step { wake_at, ..Step::default() });
        }
        let provider_now = clock.estimate(now);
        let full = u32::try_from(due.len()).is_ok_and(|found| found >= BATCH_BALANCES);
        let postings: Vec<Posting> =
            due.iter().map(|each| self.posting(each, provider_now, now)).collect();
        let posted = self.ledger.post(postings, now).await?;
        Ok(Step {
            counts: vec![
                ("posted", posted.events),
                ("voided", posted.voided),
                ("held", posted.held),
            ],
            more: full || posted.skipped > 0,
            wake_at: self.ledger.next_due_at(&self.provider_name).await?,
        })
    }
}
