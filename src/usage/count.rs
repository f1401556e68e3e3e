//! What a step of counting adds. PURE. Here: from records and corrections to changes of sums. Never
//! here: the sums. Read next: [`super::counter`].

use std::collections::BTreeMap;

use crate::domain::usage::{CountedRecord, Sum};
use crate::ledger::usage::{Counted, SumKey, Uncounted};

/// What `uncounted` adds to the sums of its views, once for each sum.
#[must_use]
pub fn count(uncounted: &Uncounted) -> Counted {
    let Uncounted { views, from, to, records, corrected } = uncounted;
    let mut changes = BTreeMap::new();
    for record in records {
        add(uncounted, record, &record.counts_at(to.corrected), &mut changes);
    }
    for record in corrected {
        add(uncounted, record, &record.change(from.corrected, to.corrected), &mut changes);
    }
    let changes = changes.into_iter().filter(|(_, sum): &(_, Sum)| !sum.is_nothing()).collect();
    Counted { views: views.iter().map(|(id, _)| *id).collect(), from: *from, to: *to, changes }
}

fn add(
    uncounted: &Uncounted,
    counted: &CountedRecord,
    sum: &Sum,
    changes: &mut BTreeMap<SumKey, Sum>,
) {
    if sum.is_nothing() {
        return;
    }
    let record = &counted.record;
    for (id, view) in &uncounted.views {
        let Some(part) = view.part_of(record) else { continue };
        for grain in view.grains() {
            let key = SumKey {
                view: *id,
                customer: record.customer.clone(),
                grain: *grain,
                start: grain.slice_of(record.occurred_at),
                part: part.clone(),
            };
            changes.entry(key).or_default().add(sum);
        }
    }
}
