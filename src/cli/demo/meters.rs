//! The kinds of meters that the demo shows. Here: of each, the meters at the stand-in, the routes
//! that tell them, and what the usage comes to by them, summed by nothing that the daemon uses.
//! Never here: the journey ([`super::stripe`]). Read next: [`super::usage`].

use std::collections::BTreeMap;

use super::usage::{METERS, Sums, Usage};
use crate::cli::args::demo::DemoMeters;
use crate::domain::quantity::Quantity;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp};
use crate::sandbox::stripe::{Formula, NewMeter, TimeWindow};

/// The meters at the stand-in.
pub(super) fn at_stand_in(kind: DemoMeters) -> Vec<NewMeter> {
    let meter = |name| match kind {
        DemoMeters::Sums | DemoMeters::Peaks => NewMeter::new(name, Formula::Sum),
        DemoMeters::Counts => NewMeter::new(name, Formula::Count),
        DemoMeters::Gauges => NewMeter::new(name, Formula::Last),
        DemoMeters::Totals => NewMeter {
            event_time_window: Some(TimeWindow::Hour),
            ..NewMeter::new(name, Formula::Sum)
        },
    };
    METERS.map(meter).to_vec()
}

/// The tables of the config: what has to be declared of the meters, and the routes to them.
pub(super) fn tables(kind: DemoMeters) -> String {
    let declared = match kind {
        DemoMeters::Totals => "span = \"hour\"\n",
        DemoMeters::Gauges => "formula = \"last\"\n",
        DemoMeters::Sums | DemoMeters::Counts | DemoMeters::Peaks => "",
    };
    let told = match kind {
        DemoMeters::Sums | DemoMeters::Totals => "window = \"1h\"\nsettle = \"1s\"\n",
        DemoMeters::Counts => "window = \"record\"\naggregate = \"count\"\n",
        DemoMeters::Peaks => "window = \"1d\"\naggregate = \"max\"\nsettle = \"1s\"\n",
        DemoMeters::Gauges => "aggregate = \"last\"\nsettle = \"1s\"\n",
    };
    let mut tables = String::new();
    for meter in METERS {
        if !declared.is_empty() {
            tables += &format!("[stripe.demo.meter.{meter}]\n{declared}\n");
        }
        tables += &format!("[route.{meter}]\nmeter = \"{meter}\"\nto = \"stripe.demo\"\n{told}\n");
    }
    tables
}

/// How many events tell the usage, where nothing comes late; of gauges one each, as far as all
/// comes within a second.
pub(super) fn events(kind: DemoMeters, usage: &Usage) -> u64 {
    match kind {
        DemoMeters::Sums | DemoMeters::Totals => usage.windows(MICROS_PER_HOUR),
        DemoMeters::Counts => usage.count(),
        DemoMeters::Peaks => usage.windows(MICROS_PER_DAY),
        DemoMeters::Gauges => u64::try_from(usage.sums().len()).unwrap_or(u64::MAX),
    }
}

/// What those events are called.
pub(super) const fn in_words(kind: DemoMeters) -> &'static str {
    match kind {
        DemoMeters::Sums => "hourly sums",
        DemoMeters::Counts => "events, one for each record",
        DemoMeters::Totals => "totals of an hour",
        DemoMeters::Peaks => "largest records of a day",
        DemoMeters::Gauges => "gauges, of which the newest record is billed",
    }
}

/// What each customer's usage of each meter comes to.
pub(super) fn source(kind: DemoMeters, usage: &Usage) -> Sums {
    let place = |meter: &str, customer: &str| (meter.to_owned(), customer.to_owned());
    match kind {
        DemoMeters::Sums | DemoMeters::Totals => usage.sums(),
        DemoMeters::Counts => {
            let mut counts = Sums::new();
            for record in usage.records() {
                let count = counts
                    .entry(place(record.meter.as_str(), record.customer.as_str()))
                    .or_insert_with(Quantity::zero);
                *count = &*count + &Quantity::one();
            }
            counts
        }
        DemoMeters::Gauges => {
            let mut newest: BTreeMap<(String, String), (Timestamp, &Quantity)> = BTreeMap::new();
            for record in usage.records() {
                let place = place(record.meter.as_str(), record.customer.as_str());
                let read = (record.occurred_at, &record.quantity);
                let standing = newest.entry(place).or_insert(read);
                // Of one time the one that comes last counts.
                if record.occurred_at >= standing.0 {
                    *standing = read;
                }
            }
            newest.into_iter().map(|(place, (_, level))| (place, level.clone())).collect()
        }
        DemoMeters::Peaks => {
            let mut peaks: BTreeMap<((String, String), Timestamp), &Quantity> = BTreeMap::new();
            for record in usage.records() {
                let day = record.occurred_at.floor_to(MICROS_PER_DAY);
                let place = place(record.meter.as_str(), record.customer.as_str());
                let peak = peaks.entry((place, day)).or_insert(&record.quantity);
                *peak = (*peak).max(&record.quantity);
            }
            let mut sums = Sums::new();
            for ((place, _), peak) in peaks {
                let sum = sums.entry(place).or_insert_with(Quantity::zero);
                *sum = &*sum + peak;
            }
            sums
        }
    }
}
