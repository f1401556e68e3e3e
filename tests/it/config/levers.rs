//! `[lever.NAME]`: which figures of usage may be asked for; and `[planship_api]`.

use tallyd::domain::time::MICROS_PER_DAY;
use tallyd::usage::lever::{Formula, Period};

use super::{refused, sound, sound_and, warned};

fn lever(lines: &str) -> String {
    sound_and(&format!("[lever.calls]\n{lines}\n"))
}

#[test]
fn a_lever_is_a_meter_and_a_period_and_the_rest_has_defaults() {
    let config = sound(&lever("metering_id = \"requests\"\nperiod = \"all_time\""));
    let [lever_of] = config.levers.as_slice() else { panic!("{:?}", config.levers) };
    assert_eq!((lever_of.name.as_str(), lever_of.meter.as_str()), ("calls", "requests"));
    assert_eq!((lever_of.formula, lever_of.period), (Formula::Total, Period::AllTime));
    assert_eq!(lever_of.bucket_property, "bucket");
    assert_eq!(lever_of.subscription_property, "subscription_id");
    let config = sound(&lever(
        "metering_id = \"requests\"\nperiod = \"30d\"\nformula = \"unique_buckets\"\n\
         bucket_property = \"seat\"\nsubscription_property = \"sub\"\nproducts = [\"one\"]",
    ));
    let [lever_of] = config.levers.as_slice() else { panic!("{:?}", config.levers) };
    assert_eq!(lever_of.period, Period::Rolling(30 * MICROS_PER_DAY));
    assert_eq!(lever_of.view().bucket.as_deref(), Some("seat"));
    assert!(lever_of.products.contains("one"));
}

#[test]
fn a_lever_that_counts_nothing_is_refused() {
    let text = lever("period = \"1d\"");
    refused(&text, "calls", "`lever.calls.metering_id` is missing");
    let text = lever("metering_id = \"requests\"");
    refused(&text, "calls", "`lever.calls.period` is missing");
    for period in ["", "30", "0s", "never", "4000d"] {
        let text = lever(&format!("metering_id = \"requests\"\nperiod = \"{period}\""));
        let title = format!("`lever.calls.period` is {period:?}");
        refused(&text, &format!("\"{period}\""), &title);
    }
    let text = lever("metering_id = \"requests\"\nperiod = \"1d\"\nbucket_property = \"\"");
    refused(&text, "\"\"", "`lever.calls.bucket_property` is no property's name");
    let text = lever("metering_id = \"requests\"\nperiod = \"1d\"\nformula = \"sum\"");
    refused(&text, "\"sum\"", "`lever.calls.formula` does not know the word \"sum\"");
}

#[test]
fn a_lever_of_billing_periods_whose_meter_no_route_takes_is_warned_of() {
    let text = lever("metering_id = \"other\"\nperiod = \"subscription\"");
    warned(&text, "\"subscription\"", "no route takes the meter \"other\" of this lever");
}

fn api(lines: &str) -> String {
    sound_and(&format!("[planship_api]\n{lines}\n"))
}

#[test]
fn the_planship_api_is_served_to_a_client_for_products() {
    let whole = "client_id = \"one\"\nclient_secret = { env = \"TOKEN\" }\nproducts = [\"demo\"]";
    assert!(sound("").planship_api.is_none());
    let served = sound(&api(whole)).planship_api.unwrap();
    assert_eq!((served.client_id.as_str(), served.source.as_str()), ("one", "planship"));
    let with = |from: &str, to: &str| api(&whole.replace(from, to));
    for (text, at, title) in [
        (
            with("\"one\"", "\"a:b\""),
            "\"a:b\"",
            "`planship_api.client_id` is empty, or holds a colon",
        ),
        (
            with("TOKEN", "SHORT"),
            "{ env = \"SHORT\" }",
            "`planship_api.client_secret` has fewer than 16 bytes",
        ),
        (
            with("[\"demo\"]", "[]"),
            "[]",
            "`planship_api.products` is empty, or holds a name that is none",
        ),
    ] {
        refused(&text, at, title);
    }
}
