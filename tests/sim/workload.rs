//! What comes in. Here: the records of a run and the routes that are configured, both by chance.
//! Never here: what is expected of them (see [`crate::auditor`]). Read next: [`crate::world`].

use std::collections::BTreeMap;

use tallyd::accrual::route::{AccountRule, Aggregate, Route, WindowRule};
use tallyd::domain::correction::{Change, Correction, CorrectionPolicy};
use tallyd::domain::names::{
    CorrectionName, CustomerName, MeterName, ProviderMeter, ProviderName, RecordId, RouteName,
    SourceName,
};
use tallyd::domain::policies::Policies;
use tallyd::domain::quantity::Quantity;
use tallyd::domain::record::{Properties, Property, UsageRecord};
use tallyd::domain::time::Timestamp;

use crate::amount::Amount;
use crate::chance::Chance;
use crate::server::{Adds, DAY, HOUR, Keeps, MINUTE, SECOND};

/// The meters at the provider.
pub(crate) const METERS: [(&str, Adds); 4] = [
    ("calls", Adds::Values),
    ("calls_b", Adds::Values),
    ("bytes", Adds::Values),
    ("counted", Adds::Events),
];
/// The same, one of which is told how many distinct values each window has.
pub(crate) const STREAM_METERS: [(&str, Adds); 4] = [
    ("calls", Adds::Values),
    ("calls_b", Adds::Values),
    ("bytes", Adds::Distinct),
    ("counted", Adds::Events),
];
/// The item prices at a site, whose usages add up.
pub(crate) const ITEM_PRICES: [(&str, Adds); 4] = [
    ("calls", Adds::Values),
    ("calls_b", Adds::Values),
    ("bytes", Adds::Values),
    ("jobs", Adds::Values),
];
/// The item prices at a site of whose usages one counts.
pub(crate) const LEVEL_PRICES: [(&str, Adds); 4] = [
    ("calls", Adds::Newest),
    ("calls_b", Adds::Newest),
    ("bytes", Adds::Largest),
    ("jobs", Adds::Values),
];
/// Meters that keep of each UTC hour the total that they received last, and one that counts.
pub(crate) const TOTAL_METERS: [(&str, Adds); 4] = [
    ("calls", Adds::Totals(HOUR)),
    ("calls_b", Adds::Totals(HOUR)),
    ("bytes", Adds::Totals(HOUR)),
    ("counted", Adds::Events),
];
/// Meters that bill the newest reading of a period, and one that counts.
pub(crate) const GAUGE_METERS: [(&str, Adds); 4] = [
    ("calls", Adds::Gauge),
    ("calls_b", Adds::Gauge),
    ("bytes", Adds::Gauge),
    ("counted", Adds::Events),
];
/// How many customers there are.
pub(crate) const CUSTOMERS: u64 = 3;

/// The one provider instance.
pub(crate) fn provider_name() -> ProviderName {
    ProviderName::new("stripe.main").expect("it is a name")
}

/// A customer's account.
pub(crate) fn account_of(customer: &str) -> String {
    format!("cus_{customer}")
}

fn route(name: &str, meter: &str, to: &str, account: AccountRule) -> Route {
    Route {
        name: RouteName::new(name).expect("it is a name"),
        meter: MeterName::new(meter).expect("it is a name"),
        matches: BTreeMap::new(),
        provider: provider_name(),
        provider_meter: ProviderMeter::new(to).expect("it is a name"),
        window: WindowRule::Hour,
        aggregate: Aggregate::Sum,
        scale: Quantity::one(),
        account,
        settle_micros: 5 * MINUTE,
        policies: Policies::default(),
    }
}

/// Meters, and what each adds up.
pub(crate) type Meters = &'static [(&'static str, Adds)];

/// What a window of records comes to at a meter that is told quantities.
fn aggregate(meters: Meters, meter: &str) -> Aggregate {
    let known = meters.iter().find(|(name, _)| *name == meter);
    match known.map(|(_, adds)| adds) {
        Some(Adds::Newest | Adds::Gauge) => Aggregate::Last,
        Some(Adds::Largest) => Aggregate::Max,
        Some(Adds::Distinct) => Aggregate::Unique("tier".to_owned()),
        Some(Adds::Values | Adds::Events | Adds::Totals(_)) | None => Aggregate::Sum,
    }
}

/// Whether what the records of a window come to is one of them, or how many values they have.
pub(crate) fn is_level(route: &Route) -> bool {
    matches!(route.aggregate, Aggregate::Last | Aggregate::Max | Aggregate::Unique(_))
}

/// Whether a meter keeps one total of each of its windows, or of each period, which no route may
/// make another.
fn keeps_totals(meters: Meters, meter: &str) -> bool {
    let keeps = |adds: &Adds| matches!(adds, Adds::Totals(_) | Adds::Gauge);
    meters.iter().any(|(name, adds)| *name == meter && keeps(adds))
}

/// Whether a meter bills the newest reading of a period.
fn is_gauge(meters: Meters, meter: &str) -> bool {
    meters.iter().any(|(name, adds)| *name == meter && *adds == Adds::Gauge)
}

/// All usage, by the plainest routes.
pub(crate) fn all_routes(keeps: Keeps, meters: Meters) -> Vec<Route> {
    let template = AccountRule::Template("cus_{customer}".to_owned());
    let (to, window) = match keeps {
        Keeps::Events => ("counted", WindowRule::Record),
        Keeps::Entries => ("jobs", WindowRule::Hour),
        Keeps::Counts(_) => ("jobs", WindowRule::Ever),
    };
    let counted = Route {
        window,
        aggregate: Aggregate::Count,
        ..route("jobs", "jobs", to, template.clone())
    };
    let of_quantities = |meter: &str| match keeps {
        Keeps::Counts(_) => WindowRule::Ever,
        Keeps::Events | Keeps::Entries if is_gauge(meters, meter) => WindowRule::Period,
        Keeps::Events | Keeps::Entries => WindowRule::Hour,
    };
    let quantities = |meter: &str, account| Route {
        window: of_quantities(meter),
        aggregate: aggregate(meters, meter),
        ..route(meter, meter, meter, account)
    };
    vec![quantities("calls", template), quantities("bytes", AccountRule::Imported), counted]
}

/// Routes as an operator may have changed them.
pub(crate) fn changed_routes(keeps: Keeps, meters: Meters, chance: &mut Chance) -> Vec<Route> {
    let smallest = match keeps {
        Keeps::Events => WindowRule::Record,
        // An entry takes a second.
        Keeps::Entries | Keeps::Counts(_) => WindowRule::Minute,
    };
    let windows = [smallest, WindowRule::Minute, WindowRule::Hour, WindowRule::Day];
    let mut routes = all_routes(keeps, meters);
    let policies =
        [CorrectionPolicy::CancelThenNegative, CorrectionPolicy::Negative, CorrectionPolicy::Hold];
    for route in &mut routes {
        route.policies.corrections = *chance.pick(&policies);
        route.settle_micros = *chance.pick(&[0, MINUTE, 5 * MINUTE, HOUR]);
        let is_told_quantities = route.aggregate != Aggregate::Count;
        let has_windows = !keeps.only_counts();
        let is_whole = keeps_totals(meters, route.provider_meter.as_str());
        if is_told_quantities && has_windows && !is_whole {
            route.window = *chance.pick(&windows);
        }
        if is_told_quantities && chance.one_in(3) {
            let scale = *chance.pick(&["0.001", "1000", "0.000000001"]);
            route.scale = Quantity::parse(scale).expect("it is a quantity");
        }
        if chance.one_in(4) {
            let name = format!("{}-renamed", route.name);
            route.name = RouteName::new(&name).expect("it is a name");
        }
    }
    if chance.one_in(3) {
        // Split by a property: one half goes to a meter of its own.
        let mut half = routes[0].clone();
        half.name = RouteName::new("calls-b").expect("it is a name");
        half.provider_meter = ProviderMeter::new("calls_b").expect("it is a name");
        half.matches = BTreeMap::from([("tier".to_owned(), "b".to_owned())]);
        routes[0].matches = BTreeMap::from([("tier".to_owned(), "a".to_owned())]);
        routes.push(half);
    }
    if chance.one_in(5) {
        let at = chance.below(u64::try_from(routes.len()).expect("there are few"));
        routes.remove(usize::try_from(at).expect("there are few"));
    }
    routes
}

/// How old a record is when it comes, in microseconds.
fn age(chance: &mut Chance, late: bool) -> i64 {
    if !late {
        return chance.between(0, 30 * MINUTE);
    }
    match chance.below(10) {
        0 => chance.between(30 * DAY, 37 * DAY),
        1 | 2 => chance.between(DAY, 30 * DAY),
        _ => chance.between(30 * MINUTE, DAY),
    }
}

fn quantity(chance: &mut Chance) -> Amount {
    match chance.below(20) {
        0 => Amount::ZERO,
        // More digits than the provider takes at once.
        1 => Amount::of(chance.between(1, 9_000_000_000_000_000), chance.between(0, 999_999)),
        2..=9 => Amount::of(chance.between(1, 40), 0),
        _ => Amount::of(chance.between(0, 40), chance.between(0, 999_999)),
    }
}

/// A new record called `id`, which comes at `now`.
pub(crate) fn record(chance: &mut Chance, id: u64, now: i64, late: bool) -> UsageRecord {
    let customer = format!("c{}", chance.below(CUSTOMERS));
    let meter = *chance.pick(&["calls", "bytes", "jobs"]);
    let at = (now - age(chance, late)) / SECOND * SECOND;
    let tier = *chance.pick(&["a", "b"]);
    let quantity = quantity(chance);
    UsageRecord {
        source: SourceName::new("web").expect("it is a name"),
        id: RecordId::new(&format!("r{id}")).expect("it is a name"),
        customer: CustomerName::new(&customer).expect("it is a name"),
        meter: MeterName::new(meter).expect("it is a name"),
        quantity: Quantity::parse(&quantity.to_string()).expect("it is a quantity"),
        occurred_at: Timestamp::from_micros(at),
        properties: Properties::from([("tier".to_owned(), Property::Text(tier.into()))]),
    }
}

/// A new record called `id` of the window that `record` is of, which may be told already.
pub(crate) fn beside(chance: &mut Chance, id: u64, record: &UsageRecord) -> UsageRecord {
    let mut other = record.clone();
    other.id = RecordId::new(&format!("r{id}")).expect("it is a name");
    let quantity = quantity(chance).to_string();
    other.quantity = Quantity::parse(&quantity).expect("it is a quantity");
    let at = record.occurred_at.micros();
    let earlier = at - chance.between(0, at.rem_euclid(HOUR));
    other.occurred_at = Timestamp::from_micros(earlier / SECOND * SECOND);
    other
}

/// The same record, saying something else.
pub(crate) fn conflicting(chance: &mut Chance, record: &UsageRecord) -> UsageRecord {
    let mut other = record.clone();
    let more = Quantity::from(chance.between(1, 9));
    other.quantity = &record.quantity + &more;
    other
}

/// An adjustment: of a record that counts with `replaces`, or of one that may count with anything.
pub(crate) fn adjustment(chance: &mut Chance, replaces: Option<Quantity>) -> Change {
    let replaces = replaces.unwrap_or_else(|| Quantity::from(chance.between(0, 40)));
    let quantity = match chance.below(6) {
        0 => Quantity::zero(),
        1 => &replaces + &Quantity::from(chance.between(1, 9)),
        _ => Quantity::from(chance.between(0, 12)),
    };
    Change::Adjust { quantity, replaces }
}

/// The correction number `number`, of the record called `record`.
pub(crate) fn correction(record: &str, number: u64, change: Change) -> Correction {
    Correction {
        source: SourceName::new("web").expect("it is a name"),
        record: RecordId::new(record).expect("it is a name"),
        name: CorrectionName::new(&format!("k{number}")).expect("it is a name"),
        change,
        reason: "it was wrong".to_owned(),
        who: "http:web".to_owned(),
    }
}
