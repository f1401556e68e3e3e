//! What a provider bills by. Here: subscriptions, the periods of what they bill, invoices, and
//! reports of usage that was rejected later. Never here: a provider's wire, what follows
//! (`reconcile::periods`). Read next: [`crate::domain::notice`].

use super::closed::closed;
use super::names::{AccountName, InvoiceId, LineId, PriceId, ProviderMeter, SubscriptionId};
use super::quantity::Quantity;
use super::time::{Timestamp, Window};

closed! {
    /// Whether a subscription bills.
    SubscriptionStatus {
        /// It bills what is used, paid or not.
        Billing = "billing",
        /// It bills nothing, and may again.
        Paused = "paused",
        /// It bills nothing any more.
        Ended = "ended",
    }
}

/// A subscription as the provider tells it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Which one.
    pub id: SubscriptionId,
    /// Who pays.
    pub account: AccountName,
    /// Whether it bills.
    pub status: SubscriptionStatus,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended, once it has.
    pub ended_at: Option<Timestamp>,
    /// When it is to end, as far as that was said.
    pub ends_at: Option<Timestamp>,
    /// Since when usage is stored and on no bill, whatever its periods say, where that is so: while
    /// it pauses, and after its end. Of an account that has no other subscription.
    pub idle_since: Option<Timestamp>,
    /// When it was changed last, where that is told: what ended its idle time was no later.
    pub changed_at: Option<Timestamp>,
    /// The meters it bills, each with the period that is open.
    pub items: Vec<BilledItem>,
    /// Its newest invoice.
    pub latest_invoice: Option<InvoiceId>,
}

/// A meter that a subscription bills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledItem {
    /// The meter.
    pub meter: ProviderMeter,
    /// The period in which usage is billed next.
    pub period: Window,
}

closed! {
    /// How far an invoice has come.
    InvoiceStatus {
        /// Usage of its period still comes into it.
        Draft = "draft",
        /// Its quantities stay what they are.
        Final = "final",
        /// It bills nothing.
        Void = "void",
    }
}

/// An invoice of subscriptions, as the provider tells it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Which one.
    pub id: InvoiceId,
    /// How far it has come.
    pub status: InvoiceStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it becomes final by itself, where that is known; for a draft.
    pub finalizes_at: Option<Timestamp>,
    /// When it became final, where that is known.
    pub finalized_at: Option<Timestamp>,
    /// What it bills of meters; anything else on it is left out.
    pub lines: Vec<InvoiceLine>,
    /// The term that it bills all usage of, where the provider has no line of a meter that was not
    /// used.
    pub term: Option<BilledTerm>,
}

/// A term of a subscription that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledTerm {
    /// Whose.
    pub subscription: SubscriptionId,
    /// When the invoice over it was made: at its end, or little later.
    pub billed_at: Timestamp,
}

/// A line of an invoice that bills a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceLine {
    /// Which one.
    pub id: LineId,
    /// By which subscription.
    pub subscription: SubscriptionId,
    /// Who pays for it.
    pub account: AccountName,
    /// By which price.
    pub price: PriceId,
    /// What it bills.
    pub meter: ProviderMeter,
    /// Used when.
    pub period: Window,
    /// How much.
    pub quantity: Quantity,
}

/// A provider's report of events that it had said yes to and rejected later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionReport {
    /// The meter; nothing where there is none.
    pub meter: Option<ProviderMeter>,
    /// When the provider looked at them.
    pub validated: Window,
    /// How many there were: more than [`Self::samples`], where not all are named.
    pub count: u64,
    /// Those that it names.
    pub samples: Vec<RejectedEvent>,
}

/// An event that a report names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedEvent {
    /// Its identifier, or the idempotency key of the attempt.
    pub name: String,
    /// The provider's code for why.
    pub code: String,
    /// What it said with it, cut as a receipt's message is.
    pub message: String,
}
