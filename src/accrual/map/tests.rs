//! What the mapping promises, at its edge.

use proptest::prelude::*;

use super::*;
use crate::accrual::route::Aggregate;
use crate::domain::names::{MeterName, ProviderMeter, RecordId, SourceName};
use crate::domain::quantity::Quantity;
use crate::domain::record::{Position, Properties, Property, UsageRecord};

const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn route(name: &str, meter: &str, event: &str) -> Route {
    Route {
        name: RouteName::new(name).unwrap(),
        meter: MeterName::new(meter).unwrap(),
        matches: std::collections::BTreeMap::new(),
        provider: ProviderName::new("stripe.main").unwrap(),
        provider_meter: ProviderMeter::new(event).unwrap(),
        window: WindowRule::Hour,
        aggregate: Aggregate::Sum,
        scale: Quantity::one(),
        account: AccountRule::Identity,
        settle_micros: 0,
        policies: crate::domain::policies::Policies::default(),
    }
}

fn entry(position: i64, meter: &str, customer: &str, quantity: &str) -> JournalRecord {
    JournalRecord {
        position: Position(position),
        record: UsageRecord {
            source: SourceName::new("web").unwrap(),
            id: RecordId::new(&format!("r{position}")).unwrap(),
            customer: CustomerName::new(customer).unwrap(),
            meter: MeterName::new(meter).unwrap(),
            quantity: Quantity::parse(quantity).unwrap(),
            occurred_at: NOON.plus_seconds(position),
            properties: Properties::new(),
        },
    }
}

fn map_all(routes: &[Route], entries: &[JournalRecord]) -> Mapped {
    with_mapping(routes, |mapping| {
        let mut mapped = Mapped::default();
        entries.iter().for_each(|entry| mapping.map(entry, NOON, &mut mapped));
        mapped
    })
}

fn with_mapping<T>(routes: &[Route], run: impl FnOnce(&Mapping<'_>) -> T) -> T {
    let routes: Vec<_> = routes.iter().cloned().zip((1..).map(RouteVersionId)).collect();
    let prefixes = [(ProviderName::new("stripe.main").unwrap(), "cus_")].into();
    let imported = HashMap::new();
    run(&Mapping { routes: &routes, account_prefixes: &prefixes, imported: &imported })
}

#[test]
fn a_record_without_a_route_is_parked_with_the_reason() {
    let mapped = map_all(&[route("a", "calls", "calls")], &[entry(1, "bytes", "cus_1", "5")]);
    assert_eq!(mapped.bookings, []);
    assert_eq!(mapped.parkings[0].reason, ParkReason::NoRoute);
    assert_eq!(mapped.parkings[0].route, None);
}

#[test]
fn a_customer_of_another_form_than_the_providers_is_parked_in_front_of_the_route() {
    let mapped = map_all(&[route("a", "calls", "calls")], &[entry(1, "calls", "acme", "5")]);
    assert_eq!(mapped.bookings, []);
    assert_eq!(mapped.parkings[0].reason, ParkReason::AccountMalformed);
}

#[test]
fn a_customer_named_with_the_providers_kind_is_the_account_behind_it() {
    let mapped =
        map_all(&[route("a", "calls", "calls")], &[entry(1, "calls", "stripe:cus_1", "5")]);
    assert_eq!(mapped.bookings[0].balance.account.as_str(), "cus_1");
}

#[test]
fn two_routes_book_one_record_to_two_meters_but_never_twice_to_one() {
    let routes = [route("a", "calls", "x"), route("b", "calls", "y"), route("c", "calls", "x")];
    let mapped = map_all(&routes, &[entry(1, "calls", "cus_1", "5")]);
    let meters: Vec<_> = mapped.bookings.iter().map(|each| each.balance.meter.as_str()).collect();
    assert_eq!(meters, ["x", "y"]);
    assert_eq!(mapped.parkings[0].reason, ParkReason::DestinationTaken);
}

#[test]
fn a_route_takes_only_records_whose_properties_say_what_it_asks_for() {
    let mut only_eu = route("eu", "calls", "calls_eu");
    only_eu.matches.insert("region".to_owned(), "eu".to_owned());
    let mut in_eu = entry(1, "calls", "cus_1", "1");
    in_eu.record.properties.insert("region".to_owned(), Property::Text("eu".to_owned()));
    let mapped = map_all(&[only_eu], &[in_eu, entry(2, "calls", "cus_1", "1")]);
    assert_eq!((mapped.bookings.len(), mapped.parkings.len()), (1, 1));
}

#[test]
fn a_record_parked_for_a_renamed_route_is_not_booked_again_to_where_it_already_is() {
    let parked = ParkedRecord {
        entry: entry(1, "calls", "cus_1", "5"),
        route: Some(RouteName::new("gone").unwrap()),
        booked: vec![("stripe.main".to_owned(), "x".to_owned())],
        left: Vec::new(),
    };
    let mapped = with_mapping(&[route("renamed", "calls", "x")], |mapping| {
        let mut mapped = Mapped::default();
        mapping.map_parked(&parked, NOON, &mut mapped);
        mapped
    });
    assert_eq!(mapped, Mapped::default());
}

#[test]
fn counted_records_add_one_each_and_scaled_ones_their_exact_product() {
    let mut counted = route("count", "calls", "x");
    counted.aggregate = Aggregate::Count;
    let mut scaled = route("scale", "calls", "y");
    scaled.scale = Quantity::parse("0.000000001").unwrap();
    let mapped = map_all(&[counted, scaled], &[entry(1, "calls", "cus_1", "1234567.000000001")]);
    let quantities: Vec<_> = mapped.bookings.iter().map(|each| each.quantity.to_string()).collect();
    assert_eq!(quantities, ["1", "0.001234567000000001"]);
}

#[test]
fn a_record_without_the_value_that_it_is_counted_by_waits_and_says_why() {
    let mut users = route("users", "calls", "x");
    users.aggregate = Aggregate::Unique("user".to_owned());
    let named = |position, user: &str| {
        let mut entry = entry(position, "calls", "cus_1", "5");
        entry.record.properties.insert("user".to_owned(), Property::Text(user.to_owned()));
        entry
    };
    let entries = [
        named(1, "ada"),
        entry(2, "calls", "cus_1", "5"),
        named(3, ""),
        named(4, &"x".repeat(201)),
        named(5, "ada"),
    ];
    // What only has no value is booked by the other route as ever.
    let mapped = map_all(&[users, route("sums", "calls", "y")], &entries);
    let counted: Vec<_> = mapped.bookings.iter().filter(|each| each.member.is_some()).collect();
    assert_eq!((mapped.bookings.len(), counted.len()), (7, 2));
    assert_eq!(counted[0].member, counted[1].member);
    assert!(counted.iter().all(|each| each.quantity == Quantity::one()));
    let said: Vec<_> = mapped.parkings.iter().map(|each| each.detail.as_str()).collect();
    assert_eq!(
        said,
        [
            "users counts by the property \"user\", which is not there",
            "users counts by the property \"user\", which is empty",
            "users counts by the property \"user\", which has 201 bytes, and at most 200 are told \
             apart",
        ]
    );
    assert!(mapped.parkings.iter().all(|each| each.reason == ParkReason::NoMember));
}

#[test]
fn the_definition_of_a_route_says_by_what_it_counts_only_where_it_does() {
    let mut users = route("users", "calls", "x");
    let before = users.definition().definition;
    assert!(!before.contains("unique"));
    users.aggregate = Aggregate::Unique("user".to_owned());
    let definition = users.definition().definition;
    assert_eq!(
        crate::accrual::route::Transform::of_definition(&definition),
        Some(users.transform())
    );
    users.aggregate = Aggregate::Unique("device".to_owned());
    assert_ne!(users.definition().definition, definition);
}

proptest! {
    #[test]
    fn every_record_is_booked_or_parked_and_no_quantity_is_lost(
        quantities in prop::collection::vec((0u32..2, 0u32..1000), 1..50),
    ) {
        let entries: Vec<_> = quantities
            .iter()
            .zip(1..)
            .map(|((meter, quantity), position)| {
                entry(position, &format!("m{meter}"), "cus_1", &quantity.to_string())
            })
            .collect();
        let mapped = map_all(&[route("a", "m0", "m0")], &entries);
        prop_assert_eq!(mapped.bookings.len() + mapped.parkings.len(), entries.len());
        let booked: Quantity = mapped.bookings.iter().map(|each| &each.quantity).sum();
        let wanted: Quantity = entries
            .iter()
            .filter(|entry| entry.record.meter.as_str() == "m0")
            .map(|entry| &entry.record.quantity)
            .sum();
        prop_assert_eq!(booked, wanted);
        for booking in &mapped.bookings {
            prop_assert!(booking.balance.window.contains(booking.occurred_at));
        }
    }
}
