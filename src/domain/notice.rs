//! What a provider announces. Here: a notice, how it came, and what became of it. Never here: a
//! provider's wire (`provider::*::notices`), what follows from a notice. Read next:
//! [`crate::domain::state`].
//!
//! A notice is a hint. It may be late, twice, out of order, or never come; whoever acts on one asks
//! the provider how things stand, and never books what the notice says.

use super::closed::closed;
use super::names::{NoticeId, NoticeKind, ObjectId, ObjectKind};
use super::time::{MICROS_PER_DAY, Timestamp};

/// How long a notice is kept after it was concluded, and how long one may wait to be acted on, in
/// microseconds. Providers send again for 30 days at most, when a person asks them to; by what is
/// kept, that is known for a repetition. Five days more are for clocks, and for a host that was
/// off.
pub const KEPT_MICROS: i64 = 35 * MICROS_PER_DAY;

/// What a provider announced, once it is proven to be the provider's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The provider's name for it.
    pub id: NoticeId,
    /// The notice that says the same in the provider's other form, where there is one: both are one
    /// announcement.
    pub snapshot: Option<NoticeId>,
    /// What is announced.
    pub kind: NoticeKind,
    /// When it happened, on the provider's clock.
    pub created_at: Timestamp,
    /// Whether it is of the live mode.
    pub livemode: bool,
    /// What it is about.
    pub related: Option<Related>,
    /// The whole of it, byte for byte as it came.
    pub body: String,
}

impl Notice {
    /// The name under which both forms of an announcement are one.
    #[must_use]
    pub fn announcement(&self) -> &NoticeId {
        self.snapshot.as_ref().unwrap_or(&self.id)
    }
}

/// An object of a provider's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// What kind of object.
    pub kind: ObjectKind,
    /// Which one.
    pub id: ObjectId,
}

closed! {
    /// How a notice came.
    CameBy {
        /// The provider sent it.
        Webhook = "webhook",
        /// It was asked for.
        Poll = "poll",
    }
}

closed! {
    /// What became of a notice.
    NoticeState {
        /// Nothing yet.
        Waiting = "waiting",
        /// What follows from it was done.
        Acted = "acted",
        /// Nothing follows from it.
        Ignored = "ignored",
    }
}

closed! {
    /// What became of a webhook's request.
    WebhookOutcome {
        /// It is on disk.
        Archived = "archived",
        /// It was on disk before.
        Duplicate = "duplicate",
        /// No webhooks are taken at its path.
        NotTaken = "not_taken",
        /// It did not come whole, or is too long.
        NotRead = "not_read",
        /// Nothing proves that the provider sent it.
        Unproven = "unproven",
        /// The provider sent it, and it cannot be read.
        Unreadable = "unreadable",
        /// The ledger could not take it.
        NotKept = "not_kept",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_announcement_have_one_name() {
        let name = |text: &str| NoticeId::new(text).unwrap();
        let snapshot = Notice {
            id: name("evt_1"),
            snapshot: None,
            kind: NoticeKind::new("customer.deleted").unwrap(),
            created_at: Timestamp::from_seconds(1_790_000_000),
            livemode: false,
            related: None,
            body: "{}".to_owned(),
        };
        let thin = Notice { id: name("evt_2"), snapshot: Some(name("evt_1")), ..snapshot.clone() };
        assert_eq!(thin.announcement(), snapshot.announcement());
        assert_ne!(thin.id, snapshot.id);
    }
}
