//! The mapping. PURE. Here: from records and routes to bookings and parkings. Never here: reading
//! or writing the ledger. Read next: [`super::accruer`].

use std::collections::{BTreeSet, HashMap};

use super::route::{AccountRule, Route, WindowRule};
use crate::domain::balance::BalanceKey;
use crate::domain::correction::Cause;
use crate::domain::names::{AccountName, CustomerName, ProviderName, RouteName};
use crate::domain::record::UsageRecord;
use crate::domain::state::ParkReason;
use crate::domain::time::Timestamp;
use crate::domain::unique::Member;
use crate::ledger::accrual::{Booking, JournalRecord, ParkedRecord, Parking, RouteVersionId};

/// What the mapping goes by: the routes in force, and the accounts that were imported.
#[derive(Clone, Debug)]
pub struct Mapping<'a> {
    /// The routes, each with the number of its version.
    pub routes: &'a [(Route, RouteVersionId)],
    /// What each provider's accounts start with, where they have one form.
    pub account_prefixes: &'a HashMap<ProviderName, &'static str>,
    /// The imported accounts of the customers at hand.
    pub imported: &'a HashMap<(ProviderName, CustomerName), AccountName>,
}

/// The destinations that a record is booked to, as (provider, provider meter).
#[derive(Default)]
struct Taken {
    now: BTreeSet<(String, String)>,
    /// Those that a remap took it away from.
    once: BTreeSet<(String, String)>,
}

/// What becomes of records: each is booked or parked at least once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// What is booked.
    pub bookings: Vec<Booking>,
    /// What is parked.
    pub parkings: Vec<Parking>,
}

impl Mapping<'_> {
    /// Maps a record that was never looked at before.
    pub fn map(&self, entry: &JournalRecord, now: Timestamp, into: &mut Mapped) {
        let taking = self.routes.iter().filter(|(route, _)| route.takes(&entry.record));
        self.book_or_park(entry, taking, &mut Taken::default(), now, into);
    }

    /// Maps a parked record again, in front of the route it waits for. A route that is gone, or
    /// takes it no longer, leaves the question to all routes; what was booked elsewhere stays
    /// booked, and is not booked again under another name, because a destination takes a record
    /// once. Where a remap took it away it waits, as only a remap books it there again.
    pub fn map_parked(&self, parked: &ParkedRecord, now: Timestamp, into: &mut Mapped) {
        let record = &parked.entry.record;
        let mut taken = Taken {
            now: parked.booked.iter().cloned().collect(),
            once: parked.left.iter().cloned().collect(),
        };
        let own = parked.route.as_ref().and_then(|name| {
            self.routes.iter().find(|(route, _)| route.name == *name && route.takes(record))
        });
        if let Some(own) = own {
            self.book_or_park(&parked.entry, std::iter::once(own), &mut taken, now, into);
            return;
        }
        let free: Vec<&(Route, RouteVersionId)> = self
            .routes
            .iter()
            .filter(|(route, _)| route.takes(record) && !taken.now.contains(&destination(route)))
            .collect();
        // Booked elsewhere, and nothing else asks for it: the wait simply ends.
        if free.is_empty() && !taken.now.is_empty() {
            return;
        }
        self.book_or_park(&parked.entry, free.into_iter(), &mut taken, now, into);
    }

    fn book_or_park<'r>(
        &self,
        entry: &JournalRecord,
        routes: impl Iterator<Item = &'r (Route, RouteVersionId)>,
        taken: &mut Taken,
        now: Timestamp,
        into: &mut Mapped,
    ) {
        let mut any = false;
        for (route, version) in routes {
            any = true;
            let parking = |reason, detail| Parking {
                position: entry.position,
                route: Some(route.name.clone()),
                reason,
                detail,
            };
            let booked = self.account(route, &entry.record.customer).and_then(|account| {
                Ok(booking(entry, (route, *version), account, member(route, &entry.record)?, now))
            });
            match booked {
                Ok(_) if taken.once.contains(&destination(route)) => {
                    into.parkings.push(parking(
                        ParkReason::RemappedAway,
                        format!("a remap took it from {} {}", route.provider, route.provider_meter),
                    ));
                }
                Ok(booking) if taken.now.insert(destination(route)) => into.bookings.push(booking),
                Ok(_) => into.parkings.push(parking(
                    ParkReason::DestinationTaken,
                    format!("{} {} has it already", route.provider, route.provider_meter),
                )),
                Err((reason, detail)) => into.parkings.push(parking(reason, detail)),
            }
        }
        if !any {
            into.parkings.push(Parking {
                position: entry.position,
                route: None::<RouteName>,
                reason: ParkReason::NoRoute,
                detail: format!("no route takes the meter \"{}\"", entry.record.meter),
            });
        }
    }

    fn account(
        &self,
        route: &Route,
        customer: &CustomerName,
    ) -> Result<AccountName, (ParkReason, String)> {
        let place = (route.provider.clone(), customer.clone());
        let imported = match route.account {
            AccountRule::Imported => self.imported.get(&place),
            AccountRule::Identity | AccountRule::Template(_) => None,
        };
        let prefix = self.account_prefixes.get(&route.provider).copied().unwrap_or_default();
        route.account_of(customer, imported, prefix)
    }
}

fn destination(route: &Route) -> (String, String) {
    (route.provider.as_str().to_owned(), route.provider_meter.as_str().to_owned())
}

/// The value that a route counts a record by, where it counts values.
fn member(route: &Route, record: &UsageRecord) -> Result<Option<Member>, (ParkReason, String)> {
    route.aggregate.member(&record.properties).map_err(|(property, why)| {
        let why = format!("{} counts by the property \"{property}\", which {why}", route.name);
        (ParkReason::NoMember, why)
    })
}

fn booking(
    entry: &JournalRecord,
    (route, version): (&Route, RouteVersionId),
    account: AccountName,
    member: Option<Member>,
    now: Timestamp,
) -> Booking {
    let record = &entry.record;
    let window = route.window.window_of(record.occurred_at);
    // Late usage waits as long as usage in time: what arrives together is told together. A gauge
    // is told a while after a reading, and so is what has no window: neither waits for an end.
    let (of_record, settle, ends_at) = match route.window {
        WindowRule::Record => (Some(entry.position), 0, window.end),
        WindowRule::Minute | WindowRule::Hour | WindowRule::Day => {
            (None, route.settle_micros, window.end)
        }
        WindowRule::Period | WindowRule::Ever => (None, route.settle_micros, now),
    };
    Booking {
        position: entry.position,
        route: version,
        fold: route.transform().fold(),
        quantity: route.contribution(record),
        member,
        cause: (Cause::Record, 0),
        occurred_at: record.occurred_at,
        due_at: ends_at.max(now).plus_micros(settle),
        balance: BalanceKey {
            provider: route.provider.clone(),
            account,
            meter: route.provider_meter.clone(),
            dimensions: String::new(),
            window,
            record: of_record,
        },
    }
}

#[cfg(test)]
mod tests;
