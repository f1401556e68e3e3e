//! Cryptolens in its journey. Here: products, and usage told by RecordUsage. Never here: the
//! journey ([`super::counting`]). Read next: [`super::counting`].

use std::time::Duration;

use super::counting::Counting;
use super::usage::{METERS, Sums};
use super::{LATENCY_MILLIS, faults};
use crate::cli::args::demo::Demo;
use crate::domain::quantity::Quantity;
use crate::sandbox::cryptolens::{Settings, TOKEN};
use crate::sandbox::{self, SandboxHandle};

/// The number of the first meter's product; the next one's is the next.
const FIRST_PRODUCT: i64 = 3_349;

/// Cryptolens.
pub(super) const JOURNEY: Counting = Counting {
    name: "Cryptolens",
    key: TOKEN,
    settings: stand_in,
    url: |stand_in| &stand_in.cryptolens_url,
    tables,
    statistics: |handle| handle.cryptolens().statistics(),
    counted,
    meter_of: meter,
};

fn stand_in(arguments: &Demo) -> sandbox::Settings {
    sandbox::Settings {
        cryptolens: Settings {
            products: METERS.iter().map(|meter| product(meter)).collect(),
            latency: Duration::from_millis(LATENCY_MILLIS),
            faults: faults(arguments),
            ..Settings::default()
        },
        ..sandbox::Settings::default()
    }
}

/// The product that a meter is told as.
fn product(meter: &str) -> i64 {
    let place = METERS.iter().position(|other| *other == meter).unwrap_or_default();
    FIRST_PRODUCT + i64::try_from(place).unwrap_or_default()
}

/// The meter that a product is of.
fn meter(number: &str) -> String {
    let meter = METERS.iter().find(|meter| product(meter).to_string() == number);
    meter.map_or_else(|| number.to_owned(), |meter| (*meter).to_owned())
}

fn tables(url: &str) -> String {
    let products: Vec<String> = METERS.iter().map(|meter| product(meter).to_string()).collect();
    let mut text = format!(
        "[cryptolens.demo]\ntoken = {{ env = \"TALLYD_DEMO_KEY\" }}\napi = \"{url}\"\n\
         products = [{}]\nrate_per_second = 100\n\n",
        products.join(", ")
    );
    for meter in METERS {
        let product = product(meter);
        text.push_str(&format!(
            "[route.{meter}]\nmeter = \"{meter}\"\nto = \"cryptolens.demo\"\n\
             event = \"{product}\"\nsettle = \"1s\"\n\n"
        ));
    }
    text
}

fn counted(handle: &SandboxHandle) -> Sums {
    let lines = handle.cryptolens().books().into_iter();
    let sum = |(product, key, total): (i64, String, i64)| {
        ((meter(&product.to_string()), key), Quantity::from(total))
    };
    lines.map(|line| sum((line.product, line.key, line.total))).collect()
}
