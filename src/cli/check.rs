//! `tallyd check`. Here: all that is wrong with the config, and what it will lead to, in words.
//! Never here: asking a provider. Read next: [`online`], then [`agreement`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};

use self::online::Asked;
use super::args::check::Check;
use super::exit::Exit;
use super::outlook::{Limits, RECENT_DAYS, minutes, outlook};
use super::{lane_outlook, page, words};
use crate::accrual::route::{AccountRule, Aggregate, Route, WindowRule};
use crate::config::{
    Chargebee, Config, Cryptolens, Outside, Overrides, Planship, Reports, SecretPolicy, Stripe,
    UsageEvents,
};
use crate::daemon::Time;
use crate::delivery;
use crate::domain::cutover::{Cutover, Mode, Telling};
use crate::domain::names::ProviderName;
use crate::domain::quantity::Quantity;
use crate::domain::time::MICROS_PER_DAY;
use crate::intake::import::{Format, Mapping, QuantityRule};
use crate::ledger::operator::OperatorLedger as _;
use crate::ledger::report::ReportLedger as _;
use crate::provider::counting::OnUnknown;
use crate::provider::stripe::settings::Channel;
use crate::reconcile::Heal;
use crate::store::sqlite::SqliteLedger;

mod agreement;
mod online;

/// Tells all that is wrong with the config, or what it means; and, where that is asked for, whether
/// the providers agree with it.
///
/// # Errors
/// When standard output cannot be written, or a provider cannot be asked at all.
pub(crate) async fn check(asked: &Check) -> anyhow::Result<Exit> {
    let Check { configured, online } = asked;
    let overrides = Overrides { ledger: configured.ledger.clone(), ..Overrides::default() };
    let environment = |name: &str| std::env::var(name).ok();
    let outside = Outside { overrides, environment: &environment };
    let secrets = if *online { SecretPolicy::Resolve } else { SecretPolicy::CheckPresence };
    let checked = crate::config::load(&configured.config, &outside, secrets);
    let colour = io::stdout().is_terminal();
    match checked {
        Ok(config) => {
            let outlook = outlooks(&config).await;
            let Asked { lines, problems, exit } =
                if *online { online::ask(&config).await? } else { Asked::nothing(&config) };
            page::print(|out| {
                describe(out, &config, &outlook)?;
                lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
                writeln!(out, "\n{}", problems.render(colour))
            })?;
            Ok(exit)
        }
        Err(problems) => {
            page::print(|out| writeln!(out, "{}", problems.render(colour)))?;
            Ok(Exit::Config)
        }
    }
}

/// What is said of how long the limits of sites last, and of what lanes carry, by what the ledger
/// says that was told. Without a ledger yet there is nothing to say.
async fn outlooks(config: &Config) -> Vec<String> {
    let has_none = config.chargebee.is_empty() && told_by_record(config).is_empty();
    if has_none || !config.store.path.exists() {
        return Vec::new();
    }
    match read_outlooks(config).await {
        Ok(said) => said,
        Err(error) => {
            vec![format!("how long limits last, and what lanes carry, is not known: {error:#}")]
        }
    }
}

async fn read_outlooks(config: &Config) -> anyhow::Result<Vec<String>> {
    let ledger = SqliteLedger::open_to_read(&config.store.path).await?;
    let now = Time::of(config).await?.clock.now();
    let recent_from = now.plus_micros(-RECENT_DAYS * MICROS_PER_DAY);
    let mut said = Vec::new();
    for site in &config.chargebee {
        let name = &site.provider.name;
        let told = ledger.entries_told(name, recent_from).await?;
        let lines = outlook(&told, limits(site), now);
        said.extend(lines.into_iter().map(|line| format!("provider {name}: {line}")));
    }
    for provider in told_by_record(config) {
        let loads = ledger.lane_loads(provider, recent_from).await?;
        let lines = lane_outlook::outlook(&loads);
        said.extend(lines.into_iter().map(|line| format!("provider {provider}: {line}")));
    }
    ledger.close().await;
    Ok(said)
}

/// The providers that are told some records one by one.
fn told_by_record(config: &Config) -> BTreeSet<&ProviderName> {
    let by_record = |route: &&Route| route.window == WindowRule::Record;
    config.routes.iter().filter(by_record).map(|route| &route.provider).collect()
}

fn limits(site: &Chargebee) -> Limits {
    Limits {
        entries_max: site.provider.usages_max.into(),
        per_minute: site.delivery.rate.requests.into(),
    }
}

fn describe(out: &mut dyn Write, config: &Config, outlook: &[String]) -> io::Result<()> {
    writeln!(out, "ledger {}: maintained at \"{}\", UTC", shown(config), config.maintenance)?;
    let senders = match config.web.tokens.len() {
        0 => "usage is taken from nobody, as there is no token".to_owned(),
        tokens => {
            let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
            format!("usage is taken with {}", words::counted(tokens, "token"))
        }
    };
    writeln!(out, "http {}: {senders}", config.web.listen)?;
    if let Some(sandbox) = &config.follow {
        writeln!(out, "time is simulated: it follows the clock of the sandbox at {sandbox}")?;
    }
    for stripe in &config.stripe {
        writeln!(out, "{}", provider(stripe))?;
    }
    for each in &config.chargebee {
        writeln!(out, "{}", site(each, &config.routes))?;
    }
    for line in outlook {
        writeln!(out, "{line}")?;
    }
    for each in &config.usage_events {
        writeln!(out, "{}", event_site(each))?;
    }
    for each in &config.cryptolens {
        writeln!(out, "{}", record_usage(each))?;
    }
    for each in &config.planship {
        writeln!(out, "{}", metered_usage(each))?;
    }
    for (provider, telling) in &config.tellings {
        for line in told_from(provider, telling) {
            writeln!(out, "{line}")?;
        }
    }
    for each in &config.routes {
        writeln!(out, "{}", route(each))?;
    }
    for (source, said) in sources(config) {
        writeln!(out, "source {source}: {}", said.join("; "))?;
    }
    for mapping in &config.imports {
        writeln!(out, "{}", import(mapping))?;
    }
    Ok(())
}

/// What is said of how a provider is told, where that is not just all that is booked.
fn told_from(provider: &ProviderName, telling: &Telling) -> Vec<String> {
    let Telling { mode, cutover: Cutover { all, meters, accounts } } = telling;
    let mut said = Vec::new();
    match mode {
        Mode::Live => {}
        Mode::Shadow => said.push(format!(
            "provider {provider}: in shadow: usage is booked, totals are read, and nothing is told"
        )),
    }
    let before = "what was used before was told by another program, and is never told";
    if let Some(from) = all {
        said.push(format!("provider {provider}: told from {from} on; {before}"));
    }
    for (meter, from) in meters {
        said.push(format!("provider {provider}: \"{meter}\" is told from {from} on; {before}"));
    }
    for (account, from) in accounts {
        said.push(format!("provider {provider}: {account} is told from {from} on; {before}"));
    }
    said
}

fn shown(config: &Config) -> String {
    config.store.path.display().to_string()
}

fn reports(reports: Option<&Reports>) -> String {
    let Some(Reports { schedule, heal }) = reports else { return String::new() };
    let heals = match heal {
        Heal::None => "",
        Heal::Low => ", and act on what it lacks",
    };
    format!("; reports are made at \"{schedule}\", UTC{heals}")
}

/// Subscriptions for which it is said how long a day of them takes, whatever the ledger says.
const SUBSCRIPTIONS_SHOWN: i64 = 2_000;

/// Windows of a route in a day: as many requests, for a subscription that uses it all day.
const fn windows_a_day(route: &Route) -> i64 {
    match route.window {
        // No site takes the first.
        WindowRule::Record | WindowRule::Minute => 24 * 60,
        WindowRule::Hour => 24,
        WindowRule::Day | WindowRule::Period | WindowRule::Ever => 1,
    }
}

fn site(site: &Chargebee, routes: &[Route]) -> String {
    let settings = &site.provider;
    let prices =
        words::counted(i64::try_from(settings.item_prices.len()).unwrap_or(i64::MAX), "item price");
    let reports = reports(site.reports.as_ref());
    let (most, rate) = (site.delivery.concurrency, site.delivery.rate.requests);
    let (name, api, decimals) = (&settings.name, &settings.api, settings.decimals);
    let webhooks = match &settings.webhooks {
        Some(password) => {
            format!("; webhooks are taken at /webhooks/{name}, from the user {}", password.user)
        }
        None => String::new(),
    };
    let (hours, usages) = (settings.invoices_close_after_hours, settings.usages_max);
    let its = routes.iter().filter(|route| route.provider == *name);
    let a_day = SUBSCRIPTIONS_SHOWN * its.map(windows_a_day).sum::<i64>();
    let day = minutes(a_day, limits(site));
    let widened = match site.widened_from {
        Some(from) => format!(", summed by the month from {from} on"),
        None => String::new(),
    };
    format!(
        "provider {name}: told at {api}, at most {most} requests at once and {rate} a minute: a \
         day of {SUBSCRIPTIONS_SHOWN} subscriptions, {prices} each, {day}; {decimals} digits after \
         the point, {usages} usages in a subscription's life{widened}; pending \
         invoices close {hours} h after their date{webhooks}{reports}"
    )
}

fn event_site(site: &UsageEvents) -> String {
    let settings = &site.provider;
    let features =
        words::counted(i64::try_from(settings.features.len()).unwrap_or(i64::MAX), "feature");
    let reports = reports(site.reports.as_ref());
    let (most, rate) = (site.delivery.concurrency, site.delivery.rate.requests);
    let (name, ingest, api) = (&settings.name, &settings.ingest, &settings.api);
    format!(
        "provider {name}: told by events at {ingest} and read at {api}, at most {most} requests \
         at once and {rate} events a minute; {features} declared; its bills are not \
         followed{reports}"
    )
}

fn record_usage(account: &Cryptolens) -> String {
    let settings = &account.provider;
    let (place, products) = ((&settings.name, settings.api.as_str()), settings.products.len());
    counting(place, settings.on_unknown, &account.delivery, (products, "product"))
}

fn metered_usage(product: &Planship) -> String {
    let settings = &product.provider;
    let (place, ids) = ((&settings.name, settings.api.as_str()), settings.metering_ids.len());
    let said = counting(place, settings.on_unknown, &product.delivery, (ids, "metering id"));
    format!("{said} of one report; its product is {:?}", settings.product)
}

/// What is said of a provider that only counts.
fn counting(
    (name, api): (&ProviderName, &str),
    on_unknown: OnUnknown,
    delivery: &delivery::Settings,
    (declared, what): (usize, &str),
) -> String {
    let declared = words::counted(i64::try_from(declared).unwrap_or(i64::MAX), what);
    let (most, rate) = (delivery.concurrency, delivery.rate.requests);
    let unknown = match on_unknown {
        OnUnknown::Hold => "once, and held where its answer is lost",
        OnUnknown::Resend => "at least once: again where its answer is lost",
    };
    format!(
        "provider {name}: told at {api}, {unknown}, at most {most} requests at once and {rate} a \
         second; {declared} declared; nothing can be read back"
    )
}

fn provider(stripe: &Stripe) -> String {
    let settings = &stripe.provider;
    let account = match &settings.account {
        Some(account) => format!("only to the account {account}"),
        None => "to the account met first, which is pinned".to_owned(),
    };
    let declared = match settings.meters.len() {
        0 => String::new(),
        count => {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            format!(", {} declared here", words::counted(count, "meter"))
        }
    };
    let webhooks = match settings.webhook_secrets.len() {
        0 => String::new(),
        count => {
            let count = words::counted(i64::try_from(count).unwrap_or(i64::MAX), "secret");
            format!("; webhooks are taken at /webhooks/{}, with {count}", settings.name)
        }
    };
    let reports = reports(stripe.reports.as_ref());
    let most = stripe.delivery.concurrency;
    let (name, api) = (&settings.name, &settings.api);
    let channel = channel(stripe);
    format!(
        "provider {name}: told at {api}{channel}, {account}, at most {most} requests at \
         once{declared}{webhooks}{reports}"
    )
}

/// How its events go, where that is not what everybody has.
fn channel(stripe: &Stripe) -> String {
    let settings = &stripe.provider;
    match settings.channel {
        Channel::V1 => String::new(),
        Channel::V2 => " by version 2 of its API".to_owned(),
        Channel::Stream => {
            let rate = stripe.delivery.batched_rate.map_or(0, |rate| rate.requests);
            let at = &settings.stream_api;
            format!(" and by the stream at {at}, there at most {rate} events a second")
        }
    }
}

fn route(route: &Route) -> String {
    let mut said = format!("route {}: usage of \"{}\"", route.name, route.meter);
    for (index, (name, value)) in route.matches.iter().enumerate() {
        said.push_str(if index == 0 { " where " } else { " and " });
        said.push_str(&format!("{name} = \"{value}\""));
    }
    said.push_str(&format!(" → {} meter \"{}\", ", route.provider, route.provider_meter));
    said.push_str(told_as(route));
    if let Aggregate::Unique(property) = &route.aggregate {
        said.push_str(&format!(" of \"{property}\""));
    }
    if route.scale != Quantity::one() {
        said.push_str(&format!(", times {}", route.scale));
    }
    said.push_str(", ");
    said.push_str(&posted(route));
    match &route.account {
        AccountRule::Identity => {}
        AccountRule::Template(template) => {
            said.push_str(&format!(", to the account \"{template}\""));
        }
        AccountRule::Imported => said.push_str(", to the imported account"),
    }
    if let Some(most) = &route.policies.hold_above {
        said.push_str(&format!("; more than {most} waits to be confirmed"));
    }
    said
}

const fn told_as(route: &Route) -> &'static str {
    match (&route.aggregate, route.window) {
        (Aggregate::Sum, WindowRule::Record) => "each record by itself",
        (Aggregate::Sum, WindowRule::Minute) => "sums of each minute",
        (Aggregate::Sum, WindowRule::Hour) => "hourly sums",
        (Aggregate::Sum, WindowRule::Day) => "daily sums",
        (Aggregate::Sum, WindowRule::Period) => "sums of each period",
        (Aggregate::Sum, WindowRule::Ever) => "sums of what came since the last",
        (Aggregate::Count, WindowRule::Record) => "one for each record",
        (Aggregate::Count, WindowRule::Minute) => "number of records of each minute",
        (Aggregate::Count, WindowRule::Hour) => "hourly number of records",
        (Aggregate::Count, WindowRule::Day) => "daily number of records",
        (Aggregate::Count, WindowRule::Period) => "number of records of each period",
        (Aggregate::Count, WindowRule::Ever) => "number of records since the last",
        (Aggregate::Last, WindowRule::Record) => "each reading by itself",
        (Aggregate::Last, WindowRule::Minute) => "the last reading of each minute",
        (Aggregate::Last, WindowRule::Hour) => "the last reading of each hour",
        (Aggregate::Last, WindowRule::Day) => "the last reading of each day",
        (Aggregate::Last, WindowRule::Period) => "readings, of which a period's last is billed",
        (Aggregate::Last, WindowRule::Ever) => "the last reading of all",
        (Aggregate::Max, WindowRule::Record) => "each reading by itself",
        (Aggregate::Max, WindowRule::Minute) => "the highest reading of each minute",
        (Aggregate::Max, WindowRule::Hour) => "the highest reading of each hour",
        (Aggregate::Max, WindowRule::Day) => "the highest reading of each day",
        (Aggregate::Max, WindowRule::Period) => "the highest reading of each period",
        (Aggregate::Max, WindowRule::Ever) => "the highest reading of all",
        (Aggregate::Unique(_), WindowRule::Record) => "one for each value of each record",
        (Aggregate::Unique(_), WindowRule::Minute) => "number of distinct values of each minute",
        (Aggregate::Unique(_), WindowRule::Hour) => "hourly number of distinct values",
        (Aggregate::Unique(_), WindowRule::Day) => "daily number of distinct values",
        (Aggregate::Unique(_), WindowRule::Period) => "number of distinct values of each period",
        (Aggregate::Unique(_), WindowRule::Ever) => "number of distinct values of all",
    }
}

fn posted(route: &Route) -> String {
    let span = match route.window {
        WindowRule::Record => return "posted at once".to_owned(),
        WindowRule::Minute => "minute",
        WindowRule::Hour => "hour",
        WindowRule::Day => "day",
        WindowRule::Period => "reading",
        WindowRule::Ever => "record that nothing waits before",
    };
    match route.settle_micros {
        0 if !route.window.ends() => "posted at once".to_owned(),
        0 => format!("posted at the end of each {span}"),
        settle => format!("posted {} after each {span}", words::exactly(settle)),
    }
}

/// What is said of each source, by its name: who may speak for it, and its time zone.
fn sources(config: &Config) -> BTreeMap<String, Vec<String>> {
    let mut sources: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (index, token) in config.web.tokens.iter().enumerate() {
        for source in &token.sources {
            let said = format!("token {} speaks for it", index + 1);
            sources.entry(source.to_string()).or_default().push(said);
        }
    }
    for source in &config.intake.sources {
        let said = match source.zone_offset_seconds {
            Some(0) => "times without a zone are UTC".to_owned(),
            Some(offset) => {
                let minutes = offset.unsigned_abs() / 60;
                let sign = if offset < 0 { '-' } else { '+' };
                let (hours, minutes) = (minutes / 60, minutes % 60);
                format!("times without a zone are at {sign}{hours:02}:{minutes:02}")
            }
            None => "times without a zone are refused".to_owned(),
        };
        let all = sources.entry(source.name.to_string()).or_default();
        all.push(said);
        all.extend(source.cloudevents.iter().map(|said| format!("its CloudEvents say \"{said}\"")));
    }
    sources
}

fn import(mapping: &Mapping) -> String {
    let format = match mapping.format {
        Format::Csv { delimiter: b',' } => "csv row".to_owned(),
        Format::Csv { delimiter } => {
            format!("csv row, cut at {:?},", char::from(delimiter))
        }
        Format::Ndjson => "ndjson line".to_owned(),
    };
    let records: Vec<String> = mapping
        .records
        .iter()
        .map(|record| match &record.quantity {
            QuantityRule::Constant(quantity) => format!("{quantity} of \"{}\"", record.meter),
            QuantityRule::Column(column) => {
                format!("\"{}\" from the column \"{column}\"", record.meter)
            }
        })
        .collect();
    format!("import {}: each {format} is {}", mapping.name, records.join(" and "))
}
