//! What a provider is, beside what a config says of it. Here: what [`super::Provider::inspect`]
//! answers. Never here: the config and its routes (`cli::check`), one provider's wire. Read next:
//! [`super::billing`].
//!
//! An inspection only reads. What the daemon writes cannot be tried so, and is named instead.

use super::{CannotTell, Capabilities};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::names::ProviderMeter;
use crate::domain::provider_facts::{AccountPin, MeterPin};

/// What an inspection came to.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// The account behind the key; nothing when nobody answered for the key.
    pub account: Option<AccountPin>,
    /// The meters that were asked for and are there, by their names.
    pub meters: Vec<Inspected>,
    /// What the key was seen to be allowed to read, in the provider's words.
    pub reads: Vec<&'static str>,
    /// What the daemon needs, or the config says, and no reading can try.
    pub untried: Vec<&'static str>,
    /// What does not agree, in the order in which it was found.
    pub disagreements: Vec<Disagreement>,
    /// The answer that ended the questions before all of them were asked.
    pub unanswered: Option<Answer>,
    /// How many requests were made.
    pub calls: u32,
}

/// A meter as it is at the provider.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// What would be pinned of it.
    pub pin: MeterPin,
    /// What would be promised for it, or why it cannot be told.
    pub promises: Result<Capabilities, CannotTell>,
    /// What it is, for a person.
    pub is: String,
}

/// Something that does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// What it is about.
    pub subject: Subject,
    /// Whether usage is told all the same.
    pub weight: Weight,
    /// What is wrong.
    pub what: String,
    /// What comes of it.
    pub otherwise: String,
    /// What to do about it.
    pub fix: String,
}

/// What a disagreement is about: where in a config a person has to look.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The provider instance as a whole.
    Provider,
    /// Its key.
    Key,
    /// The account that was declared.
    Account,
    /// A meter, wherever a route names it.
    Routed(ProviderMeter),
    /// A meter, where it is declared.
    Declared(ProviderMeter),
}

/// What follows from a disagreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Usage is not told, told wrongly, or not followed to its bill.
    Error,
    /// Something is not looked at, and usage is told.
    Warning,
}

impl Disagreement {
    /// One that keeps usage from being told, or from being told right.
    #[must_use]
    pub fn error(
        subject: Subject,
        what: impl Into<String>,
        otherwise: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (what, otherwise, fix) = (what.into(), otherwise.into(), fix.into());
        Self { subject, weight: Weight::Error, what, otherwise, fix }
    }

    /// The same, where usage is told all the same.
    #[must_use]
    pub fn that_may_be_meant(self) -> Self {
        Self { weight: Weight::Warning, ..self }
    }
}

impl Inspection {
    /// The same, with what came of the questions, and how many requests they took.
    #[must_use]
    pub fn ended(mut self, asked: Result<(), Box<Answer>>, calls: u32) -> Self {
        if let Err(answer) = asked {
            self.end_by(*answer);
        }
        Self { calls, ..self }
    }

    /// Takes an answer after which nothing more is asked: a key that is not accepted is a
    /// disagreement, and anything else no answer.
    fn end_by(&mut self, answer: Answer) {
        let said = answer.message.clone().unwrap_or_default();
        match answer.outcome {
            // Something else than the key, such as a site that is not there or switched off.
            Outcome::Unauthorized if !matches!(answer.status, None | Some(401 | 403)) => {
                self.disagreements.push(Disagreement::error(
                    Subject::Provider,
                    format!("nothing is taken there: {said}"),
                    "nothing would be sent, and nothing else could be asked",
                    "name the account that is meant, or have this switched on at the provider",
                ));
            }
            Outcome::Unauthorized => self.disagreements.push(Disagreement::error(
                Subject::Key,
                format!("the key is not accepted: {said}"),
                "nothing would be sent, and nothing else could be asked",
                "use a key that is in force, of the account that is meant",
            )),
            Outcome::WrongAccount => self.disagreements.push(Disagreement::error(
                Subject::Key,
                said,
                "nothing would be sent",
                "use a key of the account and mode that are meant",
            )),
            Outcome::Accepted
            | Outcome::Duplicate
            | Outcome::Refused(_)
            | Outcome::Busy
            | Outcome::RateLimited
            | Outcome::NotSent
            | Outcome::Failed
            | Outcome::Unknown => self.unanswered = Some(answer),
        }
    }

    /// Takes what came of a question whose answer does not matter, only whether it may be asked.
    ///
    /// # Errors
    /// The answer, when it says neither.
    pub fn try_reading(
        &mut self,
        reads: &'static str,
        without: &str,
        asked: Result<(), Box<Answer>>,
    ) -> Result<(), Box<Answer>> {
        let answer = match asked {
            Ok(()) => {
                self.reads.push(reads);
                return Ok(());
            }
            Err(answer) => answer,
        };
        if let Outcome::Refused(_) = answer.outcome {
            // It was looked at: there is just nothing of that name.
            self.reads.push(reads);
            return Ok(());
        }
        if !is_forbidden(&answer) {
            return Err(answer);
        }
        let said = answer.message.as_deref().unwrap_or_default();
        let what = format!("the key may not read {reads}: {said}");
        let fix = format!("let the key read {reads}");
        self.disagreements.push(Disagreement::error(Subject::Key, what, without, fix));
        Ok(())
    }
}

/// Whether the key was recognised and may not ask this; another question may be allowed.
#[must_use]
pub fn is_forbidden(answer: &Answer) -> bool {
    answer.outcome == Outcome::Unauthorized && answer.status == Some(403)
}
