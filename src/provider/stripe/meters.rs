//! What Stripe says of its meters. PURE. Here: its meter objects become pins, or a reason why
//! not. Never here: what is pinned already (the ledger), what a meter can be told
//! (`super::promises`). Read next: [`super::classify`].

use std::collections::BTreeMap;

use stripe_billing::BillingMeter;

use crate::domain::names::ProviderMeter;
use crate::domain::provider_facts::{Formula, MeterPin, Span};
use crate::provider::UnusableMeter;

/// The pins of the meters that can be pinned, and the others with the reason; each by event name.
///
/// An event name may have been used again after its first meter was deactivated: the active meter
/// stands for the name, else the newest.
#[must_use]
pub fn read(listed: &[BillingMeter]) -> (Vec<MeterPin>, Vec<UnusableMeter>) {
    let mut by_name: BTreeMap<&str, &BillingMeter> = BTreeMap::new();
    for meter in listed {
        let rank = |meter: &BillingMeter| (is_active(meter), meter.created);
        match by_name.get(meter.event_name.as_str()) {
            Some(other) if rank(other) >= rank(meter) => {}
            Some(_) | None => {
                by_name.insert(&meter.event_name, meter);
            }
        }
    }
    let mut pins = Vec::new();
    let mut unusable = Vec::new();
    for (name, meter) in by_name {
        match pin(meter) {
            Ok(pin) => pins.push(pin),
            Err(reason) => unusable.push(UnusableMeter { meter: name.to_owned(), reason }),
        }
    }
    (pins, unusable)
}

fn is_active(meter: &BillingMeter) -> bool {
    meter.status.as_str() == "active"
}

/// Stripe's sets of words are open, so each is read by its text: a word that is new here is a
/// reason.
fn pin(meter: &BillingMeter) -> Result<MeterPin, String> {
    let unknown = |does: &str, word: &str| {
        Err(format!("{does} \"{word}\", which this program does not know"))
    };
    let name = ProviderMeter::new(&meter.event_name)
        .map_err(|error| format!("has a name that {error}"))?;
    let formula = match meter.default_aggregation.formula.as_str() {
        "sum" => Formula::Sum,
        "count" => Formula::Count,
        "last" => Formula::Last,
        other => return unknown("adds up by", other),
    };
    let span = match meter.event_time_window.as_ref().map(|window| window.as_str()) {
        None => None,
        Some("hour") => Some(Span::Hour),
        Some("day") => Some(Span::Day),
        Some(other) => return unknown("takes totals per", other),
    };
    match meter.customer_mapping.type_.as_str() {
        "by_id" => {}
        other => return unknown("finds customers by", other),
    }
    Ok(MeterPin {
        meter: name,
        id: Some(meter.id.as_str().to_owned()),
        formula,
        customer_key: meter.customer_mapping.event_payload_key.clone(),
        value_key: meter.value_settings.event_payload_key.clone(),
        span,
        active: is_active(meter),
        learned: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(
        name: &str,
        id: &str,
        created: i64,
        change: &[(&str, serde_json::Value)],
    ) -> BillingMeter {
        let mut meter = serde_json::json!({
            "id": id, "object": "billing.meter", "created": created, "updated": created,
            "customer_mapping": {"event_payload_key": "stripe_customer_id", "type": "by_id"},
            "default_aggregation": {"formula": "sum"},
            "display_name": "Tokens", "event_name": name, "event_time_window": null,
            "livemode": false, "status": "active",
            "status_transitions": {"deactivated_at": null},
            "value_settings": {"event_payload_key": "value"},
        });
        for (pointer, value) in change {
            *meter.pointer_mut(pointer).unwrap() = value.clone();
        }
        serde_json::from_value(meter).unwrap()
    }

    #[test]
    fn a_listed_meter_is_pinned_as_it_is() {
        let change = [
            ("/default_aggregation/formula", "count".into()),
            ("/customer_mapping/event_payload_key", "who".into()),
            ("/value_settings/event_payload_key", "how_much".into()),
            ("/event_time_window", "day".into()),
        ];
        let (pins, unusable) = read(&[listed("tokens", "mtr_1", 1, &change)]);
        let pin = MeterPin {
            meter: ProviderMeter::new("tokens").unwrap(),
            id: Some("mtr_1".to_owned()),
            formula: Formula::Count,
            customer_key: "who".to_owned(),
            value_key: "how_much".to_owned(),
            span: Some(Span::Day),
            active: true,
            learned: true,
        };
        assert_eq!((pins, unusable), (vec![pin], vec![]));
    }

    #[test]
    fn the_active_meter_stands_for_a_name_that_was_used_again() {
        let inactive = [("/status", "inactive".into())];
        let check = |listed: &[BillingMeter], id: &str, active: bool| {
            let (pins, _) = read(listed);
            let found: Vec<_> = pins.iter().map(|pin| (pin.id.as_deref(), pin.active)).collect();
            assert_eq!(found, [(Some(id), active)]);
        };
        let old = listed("tokens", "mtr_old", 1, &inactive);
        let new = listed("tokens", "mtr_new", 2, &[]);
        let newest = listed("tokens", "mtr_newest", 3, &inactive);
        check(&[old.clone(), new.clone(), newest.clone()], "mtr_new", true);
        check(&[newest.clone(), new, old.clone()], "mtr_new", true);
        check(&[newest, old], "mtr_newest", false);
    }

    #[test]
    fn a_meter_with_a_word_of_next_year_is_named_and_not_pinned() {
        let odd = [
            listed("a", "mtr_a", 1, &[("/default_aggregation/formula", "max".into())]),
            listed("b", "mtr_b", 1, &[("/event_time_window", "week".into())]),
            listed("c", "mtr_c", 1, &[("/customer_mapping/type", "by_mail".into())]),
            listed(" d", "mtr_d", 1, &[]),
        ];
        let (pins, unusable) = read(&odd);
        assert_eq!(pins, []);
        let told: String =
            unusable.iter().map(|each| format!("{:?} {}\n", each.meter, each.reason)).collect();
        insta::assert_snapshot!(told, @r#"
        " d" has a name that starts or ends with white space
        "a" adds up by "max", which this program does not know
        "b" takes totals per "week", which this program does not know
        "c" finds customers by "by_mail", which this program does not know
        "#);
    }
}
