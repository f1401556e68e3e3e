//! Whether a provider is worth trying at all. PURE. Here: what a run of bad answers means for all
//! of its events. Never here: what becomes of one event. Read next: [`super::courier`].
//!
//! While a provider is away every attempt makes an event unknown, and an unknown event is work: it
//! has to be cleared before the provider forgets its identifier. So after a run of bad answers only
//! one attempt at a time goes out, further and further apart, until the provider answers again.

use crate::domain::answer::Outcome;
use crate::domain::time::Timestamp;

/// Bad answers in a row after which the provider counts as away. At one lost or failed answer in
/// five, ten in a row come once in ten million.
pub const BAD_ANSWERS_MAX: u32 = 10;
/// The first wait before a trial, in microseconds; it doubles with each trial that fails.
const TRIAL_WAIT_FIRST_MICROS: i64 = 1_000_000;
/// The longest wait before a trial, in microseconds: an outage's end is noticed within this.
const TRIAL_WAIT_MICROS_MAX: i64 = 30_000_000;

/// A provider's run of bad answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    bad_in_a_row: u32,
    trial: Option<Trial>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trial {
    at: Timestamp,
    wait_micros: i64,
}

/// How much may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admittance {
    /// As much as the budget allows.
    Open,
    /// One attempt, to see whether the provider answers.
    Trial,
    /// Nothing before this instant.
    Until(Timestamp),
}

impl Breaker {
    /// What may go out at `now`.
    #[must_use]
    pub fn admittance(&self, now: Timestamp) -> Admittance {
        match self.trial {
            None => Admittance::Open,
            Some(trial) if trial.at <= now => Admittance::Trial,
            Some(trial) => Admittance::Until(trial.at),
        }
    }

    /// Takes note of what one request came to, which told several events perhaps. However many they
    /// were it is one answer, and a bad one only where none of them was told anything.
    pub fn note_all(&mut self, outcomes: &[Outcome], now: Timestamp) {
        let heard = outcomes.iter().find(|outcome| !is_bad(**outcome));
        if let Some(outcome) = heard.or(outcomes.first()) {
            self.note(*outcome, now);
        }
    }

    /// Takes note of an answer.
    pub fn note(&mut self, outcome: Outcome, now: Timestamp) {
        if !is_bad(outcome) {
            *self = Self::default();
            return;
        }
        self.bad_in_a_row = self.bad_in_a_row.saturating_add(1);
        if self.bad_in_a_row < BAD_ANSWERS_MAX {
            return;
        }
        let wait_micros = match self.trial {
            None => TRIAL_WAIT_FIRST_MICROS,
            // Answers of attempts that were already out do not push the trial away.
            Some(trial) if trial.at > now => return,
            Some(trial) => (trial.wait_micros * 2).min(TRIAL_WAIT_MICROS_MAX),
        };
        self.trial = Some(Trial { at: now.plus_micros(wait_micros), wait_micros });
    }
}

/// Whether it says nothing of the provider but that it may be away.
const fn is_bad(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Accepted
        | Outcome::Duplicate
        | Outcome::Refused(_)
        | Outcome::Busy
        | Outcome::RateLimited
        | Outcome::Unauthorized
        | Outcome::WrongAccount => false,
        Outcome::NotSent | Outcome::Failed | Outcome::Unknown => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);

    #[test]
    fn a_provider_that_is_away_is_tried_ever_more_rarely_and_opens_at_the_first_answer() {
        let mut breaker = Breaker::default();
        for _ in 0..BAD_ANSWERS_MAX {
            assert_eq!(breaker.admittance(NOON), Admittance::Open);
            breaker.note(Outcome::NotSent, NOON);
        }
        assert_eq!(breaker.admittance(NOON), Admittance::Until(NOON.plus_seconds(1)));
        let later = NOON.plus_seconds(1);
        assert_eq!(breaker.admittance(later), Admittance::Trial);
        breaker.note(Outcome::Unknown, later);
        assert_eq!(breaker.admittance(later), Admittance::Until(later.plus_seconds(2)));
        breaker.note(Outcome::Accepted, later);
        assert_eq!(breaker.admittance(later), Admittance::Open);
    }

    #[test]
    fn a_lost_request_is_one_bad_answer_however_many_events_it_told() {
        let mut breaker = Breaker::default();
        for _ in 1..BAD_ANSWERS_MAX {
            breaker.note_all(&[Outcome::Unknown; 500], NOON);
            assert_eq!(breaker.admittance(NOON), Admittance::Open);
        }
        // One event that was answered shows that the provider is there.
        breaker.note_all(&[Outcome::NotSent, Outcome::Accepted, Outcome::Unknown], NOON);
        assert_eq!(breaker, Breaker::default());
        breaker.note_all(&[], NOON);
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn one_bad_answer_in_five_never_stops_delivery() {
        let mut breaker = Breaker::default();
        for answer in 0..100_000 {
            let outcome = if answer % 5 == 0 { Outcome::Unknown } else { Outcome::Accepted };
            breaker.note(outcome, NOON);
            assert_eq!(breaker.admittance(NOON), Admittance::Open);
        }
    }
}
