//! Planship in its journey. Here: metering ids, and usage that is reported by a token. Never here:
//! the journey ([`super::counting`]). Read next: [`super::counting`].

use std::time::Duration;

use super::counting::Counting;
use super::usage::{METERS, Sums};
use super::{LATENCY_MILLIS, faults};
use crate::cli::args::demo::Demo;
use crate::domain::quantity::Quantity;
use crate::sandbox::planship::{CLIENT, PRODUCT, SECRET, Settings};
use crate::sandbox::{self, SandboxHandle};

/// How long a token is accepted, in seconds: it ends a few times on the way.
const TOKEN_SECONDS: u64 = 10;

/// Planship.
pub(super) const JOURNEY: Counting = Counting {
    name: "Planship",
    key: SECRET,
    settings: stand_in,
    url: |stand_in| &stand_in.planship_url,
    tables,
    statistics: |handle| handle.planship().statistics(),
    counted,
    meter_of: str::to_owned,
};

fn stand_in(arguments: &Demo) -> sandbox::Settings {
    sandbox::Settings {
        planship: Settings {
            token_lives: Duration::from_secs(TOKEN_SECONDS),
            latency: Duration::from_millis(LATENCY_MILLIS),
            faults: faults(arguments),
            ..Settings::default()
        },
        ..sandbox::Settings::default()
    }
}

fn tables(url: &str) -> String {
    let ids: Vec<String> = METERS.iter().map(|meter| format!("\"{meter}\"")).collect();
    let mut text = format!(
        "[planship.demo]\nclient_id = \"{CLIENT}\"\n\
         client_secret = {{ env = \"TALLYD_DEMO_KEY\" }}\napi = \"{url}\"\n\
         product = \"{PRODUCT}\"\nmetering_ids = [{}]\nrate_per_second = 100\n\n",
        ids.join(", ")
    );
    for meter in METERS {
        text.push_str(&format!(
            "[route.{meter}]\nmeter = \"{meter}\"\nto = \"planship.demo\"\nsettle = \"1s\"\n\n"
        ));
    }
    text
}

fn counted(handle: &SandboxHandle) -> Sums {
    let lines = handle.planship().books().into_iter();
    lines.map(|line| ((line.metering_id, line.customer), Quantity::from(line.total))).collect()
}
