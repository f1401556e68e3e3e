//! `tallyd reconcile`. Here: what is asked, of whom, and who keeps the report. Never here: whether
//! anything differs (`crate::reconcile`). Read next: [`show`].
//!
//! The ledger is opened here when nobody runs it. Beside a daemon it is only read, and the daemon
//! keeps what is to be kept; the totals are read from here either way.

use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use self::keeper::OverSocket;
use super::args::Reconcile as Asked;
use super::exit::Exit;
use super::import::door::ledger_or_socket;
use super::reading::Reading;
use super::{page, reading};
use crate::clock::Clock;
use crate::config::{Config, SecretPolicy};
use crate::daemon::Time;
use crate::daemon::providers::{Instance, instances};
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::time::{Timestamp, Window};
use crate::intake::admit::Written;
use crate::intake::instant;
use crate::ledger::delivery::DeliveryLedger;
use crate::ledger::report::{Question, ReportLedger};
use crate::reconcile::calendar::previous_month;
use crate::reconcile::keeper::{InLedger, Keeper};
use crate::reconcile::line::Report;
use crate::reconcile::reporter::Reporter;
use crate::store::sqlite::SqliteLedger;

mod keeper;
mod show;

/// Compares, or shows the last comparison.
///
/// # Errors
/// When nothing can be compared.
pub(crate) async fn reconcile(asked: &Asked) -> anyhow::Result<Exit> {
    if asked.last {
        return last(asked).await;
    }
    let configured = &asked.listing.configured;
    let config = super::configure(configured, None, None, SecretPolicy::Resolve)?;
    let instances = chosen(&config, asked.provider.as_deref())?;
    let clock = Time::of(&config).await?.clock;
    let now = clock.now();
    let mut made = Vec::new();
    for instance in instances {
        let question = question(asked, instance.name(), now)?;
        made.push(compare(asked, &config, (instance, clock.clone()), &question).await?);
    }
    if asked.listing.json {
        let all: Vec<Value> =
            made.iter().map(|(report, applied)| show::report_json(report, applied)).collect();
        page::print_json(&json!({ "reports": all }))?;
    } else if asked.csv {
        let reports: Vec<&Report> = made.iter().map(|(report, _)| report).collect();
        page::print(|out| show::csv(out, &reports))?;
    } else {
        page::print(|out| {
            made.iter().try_for_each(|(report, applied)| show::report(out, report, applied))
        })?;
    }
    let agree = made.iter().all(|(report, _)| report.run.drifts.is_empty());
    Ok(if agree { Exit::Ok } else { Exit::Drift })
}

/// Shows the newest report that was kept.
async fn last(asked: &Asked) -> anyhow::Result<Exit> {
    let Reading { ledger, .. } = reading::open(&asked.listing.configured).await?;
    let provider = asked.provider.as_deref().map(provider_name).transpose()?;
    let newest = ledger.runs(provider.as_ref(), 1).await?;
    let kept = match newest.first() {
        Some((number, _)) => ledger.run(*number).await?.map(|run| (*number, run)),
        None => None,
    };
    ledger.close().await;
    let Some((number, run)) = kept else {
        bail!("no report is kept yet: run `tallyd reconcile` first");
    };
    if asked.listing.json {
        page::print_json(&show::run_json_of(number, &run))?;
    } else {
        page::print(|out| {
            writeln!(out, "{}, usage of {}:", run.question.provider, run.question.range)?;
            show::run(out, number, &run)
        })?;
    }
    Ok(if run.drifts.is_empty() { Exit::Ok } else { Exit::Drift })
}

fn provider_name(text: &str) -> anyhow::Result<ProviderName> {
    ProviderName::new(text).with_context(|| format!("--provider \"{text}\""))
}

/// The provider instances of the config that are meant.
fn chosen(config: &Config, provider: Option<&str>) -> anyhow::Result<Vec<Instance>> {
    let meant = |each: &Instance| provider.is_none_or(|name| each.name().as_str() == name);
    let all: Vec<Instance> = instances(config)?.into_iter().filter(meant).collect();
    match provider {
        Some(name) if all.is_empty() => bail!("--provider \"{name}\" is not configured"),
        None if all.is_empty() => bail!("no provider is configured: there is nothing to ask"),
        Some(_) | None => Ok(all),
    }
}

fn question(asked: &Asked, provider: &ProviderName, now: Timestamp) -> anyhow::Result<Question> {
    let time = |flag: &str, text: Option<&String>| -> anyhow::Result<Option<Timestamp>> {
        let Some(text) = text else { return Ok(None) };
        match instant::read(&Written::Text(text.as_str().into()), None) {
            Ok(at) => Ok(Some(at)),
            Err(why) => bail!("{flag} {why}"),
        }
    };
    let account = asked.account.as_deref().map(AccountName::new).transpose();
    let meter = asked.meter.as_deref().map(ProviderMeter::new).transpose();
    let start = time("--since", asked.since.as_ref())?.unwrap_or_else(|| previous_month(now));
    let end = time("--until", asked.until.as_ref())?.unwrap_or(now);
    if end <= start {
        bail!("--until {end} is not later than --since {start}");
    }
    Ok(Question {
        provider: provider.clone(),
        account: account.context("--account")?,
        meter: meter.context("--meter")?,
        range: Window { start, end },
    })
}

/// Makes one report, and acts on it where that was asked for.
async fn compare(
    asked: &Asked,
    config: &Config,
    (instance, clock): (Instance, Arc<dyn Clock>),
    question: &Question,
) -> anyhow::Result<(Report, Vec<String>)> {
    let (ledger, keeper): (Arc<SqliteLedger>, Box<dyn Keeper>) =
        match ledger_or_socket(config, "reconcile").await? {
            Ok(ledger) => {
                let ledger = Arc::new(ledger);
                let keeper = InLedger { ledger: ledger.clone(), clock: clock.clone() };
                (ledger, Box::new(keeper))
            }
            Err(socket) => {
                let ledger = Arc::new(SqliteLedger::open_to_read(&config.store.path).await?);
                let keeper = OverSocket { socket, provider: question.provider.clone() };
                (ledger, Box::new(keeper))
            }
        };
    let Instance { provider, reconcile, telling, .. } = instance;
    provider.adopt_meters(ledger.provider_facts(&question.provider).await?.meters);
    let reporter = Reporter::new(reconcile, ledger.clone(), provider, clock).telling(telling);
    let report = reporter.report(question, keeper.as_ref()).await?;
    let applied = match asked.apply {
        true => reporter.apply(&report, keeper.as_ref()).await?,
        false => Vec::new(),
    };
    drop((reporter, keeper));
    if let Some(ledger) = Arc::into_inner(ledger) {
        ledger.close().await;
    }
    Ok((report, applied))
}
