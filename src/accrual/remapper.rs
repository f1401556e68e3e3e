//! Remaps, carried out and looked at before. Here: the records of a remap with where they would go
//! today, the step that books them so, and the preview that a person sees first. Never here: which
//! lines that takes. Read next: [`super::remap`].
//!
//! Both go through the same mapping; the preview only adds up what it would book.

use std::collections::{BTreeMap, BTreeSet};

use super::accruer::{Accruer, Rules, line};
use super::map::Mapped;
use super::remap::{Aim, Booked, LeftAlone, remap};
use crate::domain::balance::Place;
use crate::domain::correction::Cause;
use crate::domain::names::{ProviderName, RouteName};
use crate::domain::quantity::Quantity;
use crate::domain::record::{Position, UsageRecord};
use crate::domain::state::ParkReason;
use crate::domain::time::{Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::accrual::{Accrual, Booking, MappingVersion, Parking};
use crate::ledger::corrections::RecordFilter;
use crate::ledger::remap::{OpenRemap, RemapEnd, RemapLedger, RemapPage, RemapStep};

/// Records in one step: each brings its lines along, and gets up to two more at each destination.
pub const BATCH_REMAPPED: u32 = 500;

/// What remapping some records comes to.
#[derive(Default)]
struct Remapped {
    bookings: Vec<Booking>,
    changed: u64,
    left: BTreeMap<LeftAlone, Left>,
}

/// Records that are left as they are, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// How many.
    pub records: u64,
    /// The first of them, as `SOURCE/ID`.
    pub first: String,
}

/// What a remap changes in the windows of an account at a meter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What goes away, which is no more than nothing, unless a correction made it so.
    pub from: Quantity,
    /// What comes.
    pub to: Quantity,
    /// Lines that do it.
    pub lines: u64,
}

/// What a remap would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// The routes and accounts that it was reckoned by.
    pub mapping: MappingVersion,
    /// The end of the journal then, as far as it was booked.
    pub to: Position,
    /// Records that were looked at.
    pub records: u64,
    /// Records whose lines would change.
    pub changed: u64,
    /// By account, meter and window.
    pub changes: BTreeMap<(Place, Window), Change>,
    /// What would be left as it is, and why.
    pub left: BTreeMap<LeftAlone, Left>,
}

impl Accruer {
    /// What a remap of the records that `filter` lets through would change.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn preview(
        &self,
        ledger: &dyn RemapLedger,
        filter: &RecordFilter,
        now: Timestamp,
    ) -> Result<Preview, LedgerError> {
        let rules = self.rules.lock().await;
        let mut preview = Preview::default();
        loop {
            let page = ledger.remappable(filter, preview.to, BATCH_REMAPPED).await?;
            // A number that no step has: nothing of this is kept.
            let remapped = self.remap_page(&rules, &page, i64::MAX, now).await?;
            preview.records += u64::try_from(page.records.len()).unwrap_or(u64::MAX);
            preview.add(remapped);
            (preview.mapping, preview.to) = (page.mapping, page.to);
            if page.is_last {
                preview.changes.retain(|_, change| change.from != -&change.to);
                return Ok(preview);
            }
        }
    }

    /// The next records of the oldest remap.
    pub(super) async fn book_remap(
        &self,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Option<Accrual>, LedgerError> {
        let Some(open) = self.ledger.open_remap(BATCH_REMAPPED).await? else { return Ok(None) };
        let OpenRemap { id, mapping, is_restored, step: number, from, page } = open;
        let mut step = RemapStep {
            remap: id,
            number,
            from,
            to: from,
            corrected_to: page.corrected_to,
            changed: 0,
            left_alone: 0,
            ended: None,
        };
        if is_restored {
            step.ended = Some(RemapEnd::Restored);
        } else if mapping != page.mapping {
            step.ended = Some(RemapEnd::Outdated);
        }
        if let Some(ended) = step.ended {
            tracing::warn!(remap = id.0, %ended, "the remap ends before it is done");
            return Ok(Some(Accrual { remap: Some(step), ..Accrual::default() }));
        }
        let remapped = self.remap_page(rules, &page, number, now).await?;
        step.to = page.to;
        step.changed = remapped.changed;
        step.left_alone = remapped.left.values().map(|left| left.records).sum();
        step.ended = page.is_last.then_some(RemapEnd::Done);
        if page.is_last {
            tracing::info!(remap = id.0, "history is booked as the routes lead");
        }
        let (bookings, remap, lines_to) = (remapped.bookings, Some(step), Some(page.lines_to));
        let unparked = rules.arrived(&bookings);
        Ok(Some(Accrual { mapping, unparked, bookings, remap, lines_to, ..Accrual::default() }))
    }

    async fn remap_page(
        &self,
        rules: &Rules,
        page: &RemapPage,
        step: i64,
        now: Timestamp,
    ) -> Result<Remapped, LedgerError> {
        let records = page.records.iter().map(|each| &each.entry.record);
        let imported = self.imported(rules, records).await?;
        let mapping = rules.mapping(&imported);
        let (mut wanted, mut aims) = (Mapped::default(), BTreeMap::new());
        for each in &page.records {
            mapping.map(&each.entry, now, &mut wanted);
        }
        self.place(rules, &mut wanted.bookings, now).await?;
        let keys = wanted.bookings.iter().map(|booking| booking.balance.clone()).collect();
        let folds = self.ledger.folds(&keys).await?;
        for booking in wanted.bookings {
            let version = rules.routes.iter().find(|(_, id)| *id == booking.route);
            let Some((route, _)) = version else { continue };
            let its: &mut Vec<Aim> = aims.entry(booking.position).or_default();
            let folds = folds.get(&booking.balance).copied();
            its.push(Aim { booking, transform: route.transform(), folds });
        }
        let waits = |parking: &&Parking| keeps_waiting(parking.reason);
        let waiting: BTreeSet<Position> =
            wanted.parkings.iter().filter(waits).map(|parking| parking.position).collect();
        let mut remapped = Remapped::default();
        for each in &page.records {
            let lines = each.lines.iter().map(line).collect::<Result<Vec<_>, _>>()?;
            let entry = &each.entry;
            let aims = aims.get(&entry.position).map_or(&[][..], Vec::as_slice);
            let record = Booked { entry, corrections: &each.corrections, lines: &lines };
            let is_told = |provider: &ProviderName| rules.account_prefixes.contains_key(provider);
            let found = match remap(record, aims, is_told, step, now) {
                Ok(none) if none.is_empty() => Ok(none),
                _ if waiting.contains(&entry.position) => Err(LeftAlone::Parked),
                found => found,
            };
            let UsageRecord { source, id, .. } = &entry.record;
            remapped.take(format!("{source}/{id}"), found);
        }
        Ok(remapped)
    }
}

impl Rules {
    /// The routes that a remap brings records to, which wait in front of them no longer.
    fn arrived(&self, bookings: &[Booking]) -> Vec<(Position, Option<RouteName>)> {
        let comes = bookings.iter().filter(|booking| booking.cause.0 == Cause::RemapTo);
        let arrived = comes.filter_map(|booking| {
            let (route, _) = self.routes.iter().find(|(_, id)| *id == booking.route)?;
            Some((booking.position, Some(route.name.clone())))
        });
        arrived.collect()
    }
}

/// Whether a route would not book a record for this: then nothing says where it is to go.
const fn keeps_waiting(reason: ParkReason) -> bool {
    match reason {
        ParkReason::NoAccount | ParkReason::AccountMalformed | ParkReason::NoMember => true,
        ParkReason::NoRoute
        | ParkReason::DestinationTaken
        | ParkReason::RemappedAway
        | ParkReason::OtherAggregate => false,
    }
}

impl Remapped {
    fn take(&mut self, record: String, found: Result<Vec<Booking>, LeftAlone>) {
        match found {
            Ok(bookings) => {
                self.changed += u64::from(!bookings.is_empty());
                self.bookings.extend(bookings);
            }
            Err(why) => {
                let left = self.left.entry(why).or_insert(Left { records: 0, first: record });
                left.records += 1;
            }
        }
    }
}

impl Preview {
    fn add(&mut self, remapped: Remapped) {
        self.changed += remapped.changed;
        for (why, new) in remapped.left {
            let left = self.left.entry(why).or_insert(Left { records: 0, ..new.clone() });
            left.records += new.records;
        }
        for booking in remapped.bookings {
            let place = (booking.balance.place(), booking.balance.window);
            let change = self.changes.entry(place).or_default();
            let goes = booking.cause.0 == Cause::RemapFrom;
            let side = if goes { &mut change.from } else { &mut change.to };
            *side = &*side + &booking.quantity;
            change.lines += 1;
        }
    }
}
