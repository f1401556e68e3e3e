//! What a room says of a meter, and the bytes that it makes. Here: the MUSTs before anything is
//! sent. Never here: a wire. Read next: [`super::sending`].

use tallyd::domain::event::Says;
use tallyd::domain::names::ProviderMeter;
use tallyd::provider::EncodeError;

use super::subject::{IDENTIFIER, TARGET, Trial, intent};

/// A meter that no room of these tests knows.
const STRANGER: &str = "a meter of somebody else's";

fn stranger() -> ProviderMeter {
    ProviderMeter::new(STRANGER).unwrap()
}

pub(super) fn known_meter(trial: &Trial) {
    let provider = trial.idle().provider;
    let known = provider.capabilities(&trial.meter());
    trial.holds(known.is_ok(), known);
    let unknown = provider.capabilities(&stranger());
    let named = unknown.as_ref().is_err_and(|error| error.why.contains(STRANGER));
    trial.holds(named, unknown);
}

pub(super) fn pure_encode(trial: &Trial) {
    let (first, second) = (trial.idle().provider, trial.idle().provider);
    let (meter, account) = (trial.meter(), trial.account());
    for says in trial.subject.tellings().into_iter().map(|telling| telling.says) {
        let intent = intent(says.clone(), "12.50");
        let made = first.encode(&meter, &account, &intent).unwrap();
        // By itself again, and by a room that was made later.
        for _ in 0..20 {
            let again = first.encode(&meter, &account, &intent).unwrap();
            trial.holds(again == made, (&says, &again, &made));
        }
        let other = second.encode(&meter, &account, &intent).unwrap();
        trial.holds(other == made, (&says, &other, &made));
    }
    let bytes =
        |quantity| first.encode(&meter, &account, &intent(Says::Usage, quantity)).unwrap().body;
    // One amount has one spelling, and another amount another.
    trial.holds(bytes("12.50") == bytes("12.5"), (bytes("12.50"), bytes("12.5")));
    trial.holds(bytes("12.5") != bytes("12.6"), bytes("12.6"));
}

pub(super) fn named_meter(trial: &Trial) {
    let provider = trial.idle().provider;
    let refused = provider.encode(&stranger(), &trial.account(), &intent(Says::Usage, "1"));
    let named = matches!(&refused, Err(EncodeError::UnknownMeter(meter)) if *meter == stranger());
    trial.holds(named, &refused);
    let said = refused.unwrap_err().to_string();
    trial.holds(said.contains(STRANGER), said);
}

pub(super) fn named_event(trial: &Trial) {
    let provider = trial.idle().provider;
    for says in trial.subject.tellings().into_iter().map(|telling| telling.says) {
        let (name, not) = match &says {
            Says::Usage => (trial.subject.named(IDENTIFIER), trial.subject.named(TARGET)),
            Says::Cancel(target) => (target.as_str().to_owned(), IDENTIFIER.to_owned()),
        };
        let intent = intent(says, "1");
        let bytes = provider.encode(&trial.meter(), &trial.account(), &intent).unwrap().body;
        let text = String::from_utf8(bytes).unwrap();
        trial.holds(text.contains(&name) && !text.contains(&not), text);
    }
}
