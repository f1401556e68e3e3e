//! What became of everything that was acknowledged. PURE. Here: the parts that it falls into, which
//! add up to it. Never here: whether the provider agrees ([`super::drift`]). Read next:
//! [`super::reporter`].

use crate::domain::quantity::Quantity;
use crate::domain::state::EventState;
use crate::ledger::reconcile::{LaneEvent, Standing};
use crate::ledger::report::SpanBooks;

/// A part of what was acknowledged, with its name.
pub type Part = (String, Quantity);

/// The parts of what is booked in a span, of which `events` say the time: first what was told, by
/// how far it came, then what was not, by why. None of them is zero.
#[must_use]
pub fn parts(books: &SpanBooks, events: &[LaneEvent]) -> Vec<Part> {
    let mut parts = Vec::new();
    for event in events {
        add(&mut parts, told_as(&event.usage), &event.quantity);
        if let Some(cancel) = &event.cancel {
            add(&mut parts, told_as(cancel), &-&event.quantity);
        }
    }
    let told: Quantity = parts.iter().map(|(_, quantity)| quantity).sum();
    // A window that began before its period was known may tell usage of the one beside it.
    add(&mut parts, Some("told at another time".to_owned()), &(&books.told - &told));
    for each in &books.outstanding {
        let name = match &each.hold {
            Some((reason, _)) => format!("not told: {reason}"),
            None if each.too_fine => "finer than the provider takes".to_owned(),
            None => "not told yet".to_owned(),
        };
        add(&mut parts, Some(name), &each.quantity);
    }
    add(&mut parts, Some("written off".to_owned()), &books.written_off);
    add(&mut parts, Some("carried".to_owned()), &books.carried);
    parts.retain(|(_, quantity)| !quantity.is_zero());
    parts
}

/// Everything that was acknowledged: what is accrued, and what was taken away from it since.
#[must_use]
pub fn acknowledged(books: &SpanBooks) -> Quantity {
    &(&books.accrued + &books.written_off) + &books.carried
}

fn add(parts: &mut Vec<Part>, name: Option<String>, quantity: &Quantity) {
    let Some(name) = name else { return };
    match parts.iter_mut().find(|(known, _)| *known == name) {
        Some((_, sum)) => *sum = &*sum + quantity,
        None => parts.push((name, quantity.clone())),
    }
}

/// What an event counts among; nothing where it counts as told no longer.
fn told_as(standing: &Standing) -> Option<String> {
    let name = match standing.state {
        EventState::Settled => "settled".to_owned(),
        EventState::Accepted => "accepted".to_owned(),
        EventState::InFlight | EventState::Unknown => "in doubt".to_owned(),
        EventState::Pending => "waiting to be sent".to_owned(),
        EventState::Held => match standing.hold {
            Some(reason) => format!("held: {reason}"),
            None => "held".to_owned(),
        },
        EventState::Void | EventState::Superseded | EventState::Dead => return None,
    };
    Some(name)
}
