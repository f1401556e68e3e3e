//! The sandbox's arithmetic against a slow and plain model of it.

use std::collections::BTreeMap;

use tallyd::sandbox::stripe::{Formula, NewMeter, TimeWindow};

use crate::support::stripe::{ADJUSTMENTS, NOON, Running, event_of, pairs, start_with};

const METERS: [(&str, Formula, Option<TimeWindow>); 5] = [
    ("sum", Formula::Sum, None),
    ("count", Formula::Count, None),
    ("last", Formula::Last, None),
    ("sum-hourly", Formula::Sum, Some(TimeWindow::Hour)),
    ("last-daily", Formula::Last, Some(TimeWindow::Day)),
];

/// Numbers that look random and depend on the seed alone.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        i64::try_from(self.0 >> 33).expect("31 bits fit") % bound
    }
}

#[derive(Clone, Debug)]
struct Event {
    meter: usize,
    customer: i64,
    eighths: i64,
    timestamp: i64,
    receipt: usize,
    is_cancelled: bool,
}

/// What the meter makes of `events` in `[start, end)`, in eighths (a count in events).
fn model(events: &[Event], meter: usize, customer: i64, start: i64, end: i64) -> i64 {
    let (_, formula, window) = METERS[meter];
    let mine =
        |event: &&Event| event.meter == meter && event.customer == customer && !event.is_cancelled;
    let mut kept: BTreeMap<(i64, usize), &Event> = BTreeMap::new();
    for event in events.iter().filter(mine) {
        match window {
            None => kept.insert((0, event.receipt), event),
            Some(TimeWindow::Hour) => kept.insert((event.timestamp.div_euclid(3_600), 0), event),
            Some(TimeWindow::Day) => kept.insert((event.timestamp.div_euclid(86_400), 0), event),
        };
    }
    let inside = kept.values().filter(|event| (start..end).contains(&event.timestamp));
    match formula {
        Formula::Sum => inside.map(|event| event.eighths).sum(),
        Formula::Count => i64::try_from(inside.count()).expect("few"),
        Formula::Last => {
            let last = inside.max_by_key(|event| (event.timestamp, event.receipt));
            last.map_or(0, |event| event.eighths)
        }
    }
}

/// Eighths as decimal text: exact, and exact as a float too.
fn text(eighths: i64) -> String {
    let sign = if eighths < 0 { "-" } else { "" };
    let size = eighths.unsigned_abs();
    format!("{sign}{}.{:03}", size / 8, size % 8 * 125)
}

async fn check(sandbox: &Running, events: &[Event], numbers: &mut Numbers) {
    for _ in 0..20 {
        let (meter, customer) = (numbers.below(5), numbers.below(3));
        let meter = usize::try_from(meter).expect("small");
        let start = NOON - 172_800 + 60 * numbers.below(2_880);
        let end = start + 60 + 60 * numbers.below(2_880);
        let query = [
            ("customer", format!("cus_{customer}")),
            ("start_time", start.to_string()),
            ("end_time", end.to_string()),
        ];
        let query: Vec<(&str, &str)> = query.iter().map(|(name, it)| (*name, &**it)).collect();
        let (name, formula, _) = METERS[meter];
        let body = sandbox.summary(name, &query).await.body;
        let expected = model(events, meter, customer, start, end);
        let expected =
            if formula == Formula::Count { expected.to_string() } else { text(expected) };
        let expected: f64 = expected.parse().expect("a float");
        assert_eq!(body["data"][0]["aggregated_value"], expected, "{name} {query:?}");
    }
}

#[tokio::test]
async fn summaries_agree_with_a_plain_model_through_overwrites_and_cancellations() {
    for seed in [1, 2, 3] {
        let sandbox = start_with(|settings| {
            settings.meters.clear();
            for (name, formula, window) in METERS {
                let mut meter = NewMeter::new(name, formula);
                meter.event_time_window = window;
                settings.meters.push(meter);
            }
        })
        .await;
        let (mut numbers, mut events) = (Numbers(seed), Vec::<Event>::new());
        for step in 0..300 {
            let meter = usize::try_from(numbers.below(5)).expect("small");
            if numbers.below(5) == 0 && !events.is_empty() {
                let many = i64::try_from(events.len()).expect("few");
                let place = usize::try_from(numbers.below(many)).expect("small");
                let event = &mut events[place];
                let name = METERS[event.meter].0;
                let cancel = pairs(&[
                    ("event_name", name),
                    ("type", "cancel"),
                    ("cancel[identifier]", &event.receipt.to_string()),
                ]);
                let expected = if event.is_cancelled { 400 } else { 200 };
                assert_eq!(sandbox.post(ADJUSTMENTS, &cancel).await.status, expected);
                event.is_cancelled = true;
            } else {
                let event = Event {
                    meter,
                    customer: numbers.below(3),
                    eighths: numbers.below(20_000) - 4_000,
                    timestamp: NOON - numbers.below(172_800),
                    receipt: events.len(),
                    is_cancelled: false,
                };
                let (customer, identifier) =
                    (format!("cus_{}", event.customer), event.receipt.to_string());
                let name = METERS[meter].0;
                let value = text(event.eighths);
                sandbox
                    .accept(&event_of(name, &customer, &identifier, &value, event.timestamp))
                    .await;
                events.push(event);
            }
            if step % 50 == 49 {
                check(&sandbox, &events, &mut numbers).await;
            }
        }
    }
}
