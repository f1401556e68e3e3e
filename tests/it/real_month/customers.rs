//! Who uses and pays. Here: twelve customers, when their periods end, what becomes of their
//! subscriptions, what they use and when that is sent. Never here: sending it ([`super::world`]).

use serde_json::Value;

use crate::billing_month::Chance;
use crate::support::stripe::NOON;

pub(super) const MINUTE: i64 = 60;
pub(super) const HOUR: i64 = 3_600;
pub(super) const DAY: i64 = 86_400;
/// 16 January 2027, noon.
pub(super) const BEGIN: i64 = NOON + 117 * DAY;
/// 1 March, past the last period that is compared.
pub(super) const END: i64 = BEGIN + 44 * DAY;

/// Customers whose periods end within half an hour of one another.
const GROUP: i64 = 6;
/// When the first periods of each group begin to end, and how many days later the second do: on 21
/// January, and on the 31st, whose next is the last of February.
const ENDS: [(i64, i64); 2] =
    [(BEGIN + 4 * DAY + 15 * HOUR, 31), (BEGIN + 15 * DAY - 3 * HOUR, 28)];
const RECORDS_EACH: i64 = 40;
/// Nothing is used for so long before a subscription changes at once, in seconds, and until that is
/// certainly done: what is billed at once leaves out what is not told by then. The clock goes
/// twelve hours at once, and what is used in them is sent when they are over.
const QUIET: (i64, i64) = (13 * HOUR, 13 * HOUR);

/// What becomes of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Stays,
    ChangesPlan(i64),
    EndsAt(i64),
    IsCancelled { at: i64, invoiced: bool },
}

impl Turn {
    /// When something happens at once.
    const fn at_once(self) -> Option<i64> {
        match self {
            Self::Stays | Self::EndsAt(_) => None,
            Self::ChangesPlan(at) | Self::IsCancelled { at, .. } => Some(at),
        }
    }
}

/// A customer.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    number: i64,
    pub(super) name: String,
    /// Where its first period ends, and its second.
    pub(super) ends: [i64; 2],
    pub(super) turn: Turn,
    /// Whether the turn was taken.
    pub(super) is_turned: bool,
    pub(super) subscription: Value,
}

/// A record, and when its source sends it.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) send_at: i64,
    pub(super) id: String,
    pub(super) customer: String,
    pub(super) used_at: i64,
    pub(super) quantity: i64,
}

/// All customers.
pub(super) fn all() -> Vec<Customer> {
    (0..GROUP * 2).map(Customer::new).collect()
}

impl Customer {
    fn new(number: i64) -> Self {
        let (base, days) = ENDS[usize::try_from(number / GROUP).unwrap()];
        // No two at the same second of a minute.
        let first = base + number % GROUP * 5 * MINUTE + number * 4 + 3;
        let turn = match number {
            2 => Turn::IsCancelled { at: BEGIN + 13 * DAY, invoiced: false },
            3 => Turn::IsCancelled { at: BEGIN + 12 * DAY, invoiced: true },
            6 => Turn::ChangesPlan(BEGIN + 20 * DAY),
            9 => Turn::EndsAt(BEGIN + 25 * DAY + 7 * HOUR + 17),
            _ => Turn::Stays,
        };
        let second = match turn {
            Turn::EndsAt(at) => at,
            Turn::Stays | Turn::ChangesPlan(_) | Turn::IsCancelled { .. } => first + days * DAY,
        };
        Self {
            number,
            name: format!("cus_{number}"),
            ends: [first, second],
            turn,
            is_turned: false,
            subscription: Value::Null,
        }
    }

    /// Whether its periods are the first of their group to end.
    pub(super) const fn is_first(&self) -> bool {
        self.number % GROUP == 0
    }

    /// Whether its last period ends without an invoice.
    pub(super) const fn ends_unbilled(&self) -> bool {
        matches!(self.turn, Turn::IsCancelled { invoiced: false, .. })
    }

    /// Whether nothing is used at `at`, because of what is about to change at once.
    fn is_quiet(&self, at: i64) -> bool {
        let turn = self.turn.at_once();
        turn.is_some_and(|turn| (turn - QUIET.0..turn + QUIET.1).contains(&at))
    }

    /// What it uses.
    pub(super) fn usage(&self) -> Vec<Sent> {
        let mut chance = Chance::of(20_270_116, &self.name);
        let [first, second] = self.ends;
        let mut all = Vec::new();
        for number in 0..RECORDS_EACH {
            let used_at = match number {
                // On both sides of a boundary, to the second.
                0 => first - 1,
                1 => first,
                2 => second - 1,
                // Before any subscription began.
                3 => BEGIN - HOUR,
                _ => BEGIN + MINUTE + chance.below(second - BEGIN - MINUTE),
            };
            let late = match (number, chance.below(12)) {
                (3, _) => 3 * DAY,
                (_, late) if self.turn.at_once().is_some() => late * MINUTE,
                (_, 0) => chance.below(6 * DAY),
                (_, 1 | 2) => chance.below(3 * HOUR),
                (_, _) => chance.below(15 * MINUTE),
            };
            let quantity = 1 + chance.below(1_000);
            if self.is_quiet(used_at) {
                continue;
            }
            let send_at = (used_at + late).min(END - HOUR);
            let (id, customer) = (format!("{}-{number}", self.name), self.name.clone());
            all.push(Sent { send_at, id, customer, used_at, quantity });
        }
        all
    }
}
