//! Widening. PURE. Here: which windows usage goes into whose account takes few entries more. Never
//! here: how many it was told. Read next: [`super::accruer`].
//!
//! A provider that keeps entries may take so many of an account in its life, and no more. An entry
//! a day uses them up; one a month, in good time, does not in any lifetime of a program. What is in
//! windows already stays there.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::fold::Fold;
use crate::domain::names::{AccountName, ProviderName};
use crate::domain::time::{Timestamp, Window};
use crate::ledger::accrual::Booking;

/// From how many entries of an account on its windows are widened, at the providers where they are.
pub type Widening = BTreeMap<ProviderName, u32>;

/// The accounts of `bookings` at `provider`, of those whose windows can be widened.
#[must_use]
pub fn accounts_of(bookings: &[Booking], provider: &ProviderName) -> BTreeSet<AccountName> {
    let its = bookings.iter().filter(|booking| booking.balance.provider == *provider);
    its.map(|booking| booking.balance.account.clone()).collect()
}

/// Gives what is booked of `accounts` at `provider` windows of a calendar month. It is posted as
/// long after its window's end as before.
pub fn widen(
    bookings: &mut [Booking],
    provider: &ProviderName,
    accounts: &BTreeSet<AccountName>,
    now: Timestamp,
) {
    for booking in bookings {
        let balance = &mut booking.balance;
        let is_few = balance.provider == *provider && accounts.contains(&balance.account);
        // A record that is a balance by itself is never summed with others; and a month has fewer
        // distinct values than its days together.
        if !is_few || balance.record.is_some() || booking.fold == Fold::Unique {
            continue;
        }
        let settle = booking.due_at.micros_since(balance.window.end.max(now));
        balance.window = Window::month_of(booking.occurred_at);
        booking.due_at = balance.window.end.max(now).plus_micros(settle);
    }
}
