//! `tallyd sandbox`. Here: from the flags to a running stand-in. Never here: a provider's rules
//! (see `sandbox`). Read next: [`crate::sandbox`].

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio_util::sync::CancellationToken;

use super::args;
use super::block_on;
use super::exit::Exit;
use crate::clock::SystemClock;
use crate::daemon::shutdown::Signals;
use crate::sandbox::faults::{FaultKind, Faults};
use crate::sandbox::stripe::{Formula, Limits, NewMeter, Settings, TimeWindow};
use crate::sandbox::{self, Sandbox};

pub(super) fn run(arguments: args::Sandbox) -> anyhow::Result<Exit> {
    let settings = settings(&arguments)?;
    block_on(async move {
        let signals = Signals::take().context("cannot take over the signals")?;
        let sandbox = Sandbox::bind(settings, Arc::new(SystemClock)).await?;
        let (stripe, chargebee) = (sandbox.stripe_url(), sandbox.chargebee_url());
        let (cryptolens, planship) = (sandbox.cryptolens_url(), sandbox.planship_url());
        // In one piece: whoever wants the first line alone may close the pipe after it.
        let addresses = format!(
            "stripe {stripe}\nchargebee {chargebee}\ncryptolens {cryptolens}\nplanship \
             {planship}\n"
        );
        io::stdout().write_all(addresses.as_bytes())?;
        let (stop, now) = (CancellationToken::new(), CancellationToken::new());
        let stopped = stop.clone();
        tokio::select! {
            ended = sandbox.run(async move { stopped.cancelled().await }) => ended?,
            () = async {
                signals.watch(stop, now).await;
            } => {}
        }
        Ok(Exit::Ok)
    })
}

fn settings(arguments: &args::Sandbox) -> anyhow::Result<sandbox::Settings> {
    let meters = arguments.meters.iter().map(|text| meter(text)).collect::<Result<_, _>>()?;
    let stripe = Settings {
        limits: if arguments.live_limits { Limits::LIVE } else { Limits::SANDBOX },
        lag: Duration::from_millis(arguments.lag),
        meters,
        faults: Faults {
            seed: arguments.seed,
            basis_points: faults(&arguments.faults)?,
            ..Faults::default()
        },
        ..Settings::default()
    };
    let listen = arguments.listen;
    let listen_chargebee = arguments.listen_chargebee.unwrap_or_else(|| beside(listen));
    let listen_cryptolens = arguments.listen_cryptolens.unwrap_or_else(|| beside(listen_chargebee));
    let listen_planship = arguments.listen_planship.unwrap_or_else(|| beside(listen_cryptolens));
    Ok(sandbox::Settings {
        listen,
        listen_chargebee,
        listen_cryptolens,
        listen_planship,
        stripe,
        ..sandbox::Settings::default()
    })
}

/// The next port of the same address; any, if any would do for that one, or there is none.
fn beside(address: SocketAddr) -> SocketAddr {
    let port = if address.port() == 0 { 0 } else { address.port().wrapping_add(1) };
    SocketAddr::new(address.ip(), port)
}

/// A meter as typed: `EVENT_NAME`, `EVENT_NAME:FORMULA` or `EVENT_NAME:FORMULA:SPAN`.
fn meter(text: &str) -> anyhow::Result<NewMeter> {
    let (rest, span) = match text.rsplit_once(':') {
        Some((rest, "hour")) => (rest, Some(TimeWindow::Hour)),
        Some((rest, "day")) => (rest, Some(TimeWindow::Day)),
        Some(_) | None => (text, None),
    };
    let (name, formula) = rest.rsplit_once(':').unwrap_or((rest, "sum"));
    let formula = match formula {
        "sum" => Formula::Sum,
        "count" => Formula::Count,
        "last" => Formula::Last,
        other => bail!("--meter {text}: \"{other}\" is no formula; there is sum, count, last"),
    };
    let meter = NewMeter::new(name, formula);
    Ok(span.map_or(meter.clone(), |span| meter.pre_aggregated(span)))
}

/// Faults as typed: `KIND=BASIS_POINTS`.
fn faults(texts: &[String]) -> anyhow::Result<BTreeMap<FaultKind, u32>> {
    texts
        .iter()
        .map(|text| {
            let wrong = |why: String| anyhow!("--fault {text}: {why}");
            let (kind, points) =
                text.split_once('=').ok_or_else(|| wrong("it is KIND=BASIS_POINTS".to_owned()))?;
            let quoted = serde_json::Value::from(kind);
            let kind: FaultKind =
                serde_json::from_value(quoted).map_err(|error| wrong(error.to_string()))?;
            let points: u32 = points
                .parse()
                .ok()
                .filter(|points| *points <= 10_000)
                .ok_or_else(|| wrong(format!("\"{points}\" is not between 0 and 10000")))?;
            Ok((kind, points))
        })
        .collect()
}
