//! What an answer leads to. PURE. Here: one total function over outcomes. Never here: a provider's
//! texts, the ledger, a network. Read next: [`super::courier`].
//!
//! Only a definite answer lowers uncertainty. A refusal counts as one only when every attempt of
//! the event was definitely refused; a duplicate counts as a yes only when an earlier attempt of
//! this very event may have landed; an event that was ambiguous before a definite "not processed"
//! stays so.

use super::Settings;
use super::backoff;
use crate::domain::answer::{Answer, Outcome};
use crate::domain::state::{EventState, HoldReason};
use crate::domain::time::Timestamp;
use crate::ledger::delivery::{Leased, Settlement};

/// Longest wait that an answer may ask for, in seconds: an hour, as in the budget. Anyone on the
/// way may write `Retry-After`, and a longer wait would carry an unknown event past the provider's
/// dedupe window, or a pending one past its deadline.
const ASKED_SECONDS_MAX: u32 = 3_600;

/// What becomes of `leased`, of whose attempt `answer` came back at `now`.
#[must_use]
pub fn settle(leased: &Leased, answer: Answer, settings: &Settings, now: Timestamp) -> Settlement {
    let retry = |failures| {
        let asked = answer.retry_after_seconds.unwrap_or(0).min(ASKED_SECONDS_MAX);
        let asked = i64::from(asked);
        backoff::next_attempt_at(leased, failures, settings, now).max(now.plus_seconds(asked))
    };
    let mut settlement = Settlement {
        event: leased.event,
        attempt: leased.attempt,
        answered_at: now,
        to: EventState::Unknown,
        hold: None,
        next_attempt_at: None,
        ambiguous: leased.ambiguous,
        new_key: false,
        failed: false,
        answer: answer.clone(),
    };
    // Where an event goes back to when this attempt was definitely not processed.
    let back = if leased.ambiguous { EventState::Unknown } else { EventState::Pending };
    match answer.outcome {
        Outcome::Accepted => {
            settlement.to = EventState::Accepted;
            settlement.ambiguous = true;
        }
        Outcome::Duplicate if leased.ambiguous => settlement.to = EventState::Accepted,
        Outcome::Duplicate => {
            let why = "the provider has this identifier, and no attempt of ours can have made it";
            hold(&mut settlement, HoldReason::IdentifierConflict, &answer, why);
            settlement.ambiguous = true;
        }
        Outcome::Refused(reason) if leased.ambiguous => {
            let why = format!("refused ({reason}), but an earlier attempt may have landed");
            hold(&mut settlement, HoldReason::MayExist, &answer, &why);
        }
        Outcome::Refused(reason) => hold(&mut settlement, reason, &answer, "refused"),
        Outcome::Busy | Outcome::NotSent => {
            settlement.to = back;
            settlement.failed = true;
            settlement.next_attempt_at = Some(retry(leased.failures + 1));
        }
        // The budget slows down for all of them; this one is not to blame.
        Outcome::RateLimited => {
            settlement.to = back;
            settlement.next_attempt_at = Some(retry(0));
        }
        // The breaker pauses the provider; this one goes first when it resumes.
        Outcome::Unauthorized => {
            settlement.to = back;
            settlement.next_attempt_at = Some(now);
        }
        // A failed request may be kept by the provider under its key, and would be answered the
        // same for as long as the key lives: the next attempt needs another key. The identifier
        // stays, so the provider still recognises the event.
        Outcome::Failed => {
            settlement.ambiguous = true;
            settlement.new_key = true;
            settlement.failed = true;
            settlement.next_attempt_at = Some(retry(leased.failures + 1));
        }
        Outcome::Unknown | Outcome::WrongAccount => {
            settlement.ambiguous = true;
            settlement.failed = true;
            settlement.next_attempt_at = Some(retry(leased.failures + 1));
        }
    }
    settlement
}

/// What becomes of an event that was leased and not sent after all: it goes back as it was, at
/// once, and nothing is held against it.
#[must_use]
pub fn give_back(leased: &Leased, why: &str, now: Timestamp, not_before: Timestamp) -> Settlement {
    Settlement {
        event: leased.event,
        attempt: leased.attempt,
        answer: Answer::bare(Outcome::NotSent, why),
        answered_at: now,
        to: if leased.ambiguous { EventState::Unknown } else { EventState::Pending },
        hold: None,
        next_attempt_at: Some(not_before),
        ambiguous: leased.ambiguous,
        new_key: false,
        failed: false,
    }
}

fn hold(settlement: &mut Settlement, reason: HoldReason, answer: &Answer, why: &str) {
    let said = answer.message.as_deref().unwrap_or_default();
    let detail = if said.is_empty() { why.to_owned() } else { format!("{why}: {said}") };
    settlement.to = EventState::Held;
    settlement.hold = Some((reason, detail));
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::delivery::Rate;
    use crate::domain::answer::OutcomeKind;
    use crate::domain::event::{EventId, Identifier, Says};
    use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
    use crate::ledger::delivery::AttemptId;

    const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);

    pub(in crate::delivery) fn settings() -> Settings {
        Settings {
            provider: ProviderName::new("stripe.main").unwrap(),
            rate: Rate::per_second(100),
            batched_rate: None,
            limited_pause_seconds: 1,
            concurrency: 8,
            attempt_timeout_millis: 10_000,
            backoff_first_millis: 500,
            backoff_seconds_max: 300,
            pause_probe_seconds: 60,
            free_bytes_min: 0,
        }
    }

    pub(in crate::delivery) fn leased(ambiguous: bool) -> Leased {
        Leased {
            event: EventId(1),
            attempt: AttemptId(1),
            attempt_number: 1,
            failures: 0,
            identifier: Identifier::stored("tallyd-1"),
            says: Says::Usage,
            idempotency_key: "tallyd-1".to_owned(),
            meter: ProviderMeter::new("calls").unwrap(),
            account: AccountName::new("cus_1").unwrap(),
            body: Vec::new(),
            ambiguous,
        }
    }

    const OUTCOMES: [Outcome; 10] = [
        Outcome::Accepted,
        Outcome::Duplicate,
        Outcome::Refused(HoldReason::NoMeter),
        Outcome::Busy,
        Outcome::RateLimited,
        Outcome::Unauthorized,
        Outcome::NotSent,
        Outcome::Failed,
        Outcome::Unknown,
        Outcome::WrongAccount,
    ];

    #[test]
    fn every_outcome_leads_where_the_table_says() {
        let mut table = String::new();
        for outcome in OUTCOMES {
            for ambiguous in [false, true] {
                let after =
                    settle(&leased(ambiguous), Answer::bare(outcome, ""), &settings(), NOON);
                let hold = after.hold.map_or(String::new(), |(reason, _)| format!("({reason})"));
                let mark = |flag, text: &'static str| if flag { text } else { "" };
                table.push_str(&format!(
                    "{:<13} {:<9} -> {}{hold}{}{}{}\n",
                    outcome.kind(),
                    mark(ambiguous, "ambiguous"),
                    after.to,
                    mark(after.ambiguous, " ambiguous"),
                    mark(after.new_key, " new-key"),
                    mark(after.failed, " failed"),
                ));
            }
        }
        assert_eq!(OUTCOMES.len(), OutcomeKind::ALL.len());
        insta::assert_snapshot!(table, @r"
        accepted                -> accepted ambiguous
        accepted      ambiguous -> accepted ambiguous
        duplicate               -> held(identifier_conflict) ambiguous
        duplicate     ambiguous -> accepted ambiguous
        refused                 -> held(no_meter)
        refused       ambiguous -> held(may_exist) ambiguous
        busy                    -> pending failed
        busy          ambiguous -> unknown ambiguous failed
        rate_limited            -> pending
        rate_limited  ambiguous -> unknown ambiguous
        unauthorized            -> pending
        unauthorized  ambiguous -> unknown ambiguous
        not_sent                -> pending failed
        not_sent      ambiguous -> unknown ambiguous failed
        failed                  -> unknown ambiguous new-key failed
        failed        ambiguous -> unknown ambiguous new-key failed
        unknown                 -> unknown ambiguous failed
        unknown       ambiguous -> unknown ambiguous failed
        wrong_account           -> unknown ambiguous failed
        wrong_account ambiguous -> unknown ambiguous failed
        ");
    }

    #[test]
    fn every_move_is_one_the_state_machine_has() {
        for outcome in OUTCOMES {
            for ambiguous in [false, true] {
                let answer = Answer::bare(outcome, "");
                let after = settle(&leased(ambiguous), answer, &settings(), NOON);
                assert!(EventState::InFlight.may_become(after.to), "{outcome:?}");
                assert!(!ambiguous || after.ambiguous, "uncertainty went away: {outcome:?}");
            }
        }
    }

    #[test]
    fn a_wait_the_provider_asks_for_is_kept() {
        let mut answer = Answer::bare(Outcome::RateLimited, "");
        answer.retry_after_seconds = Some(120);
        let after = settle(&leased(false), answer, &settings(), NOON);
        assert!(after.next_attempt_at >= Some(NOON.plus_seconds(120)));
    }
}
