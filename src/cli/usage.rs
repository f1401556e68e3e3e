//! `tallyd usage`. Here: what levers say of a customer, as a table or JSON. Never here: what they
//! come to (see `usage`). Read next: [`super::trace`].

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Context, bail};

use super::args::usage::Usage as Asked;
use super::exit::Exit;
use super::reading::{self, Reading};
use super::table::{Side, Table};
use super::{page, words};
use crate::daemon::assemble::desk;
use crate::domain::names::CustomerName;
use crate::domain::quantity::Quantity;
use crate::usage::desk::{Figures, Unknown};
use crate::usage::lever::{Lever, Period};
use crate::web::levers::{customer_json, period_word};

/// What stands for the bucket of records that have none.
const NO_BUCKET: &str = "-";

type Told = Vec<(Lever, Result<Figures, Unknown>)>;

/// Shows what levers say of a customer.
///
/// # Errors
/// When there is no such lever, or the ledger cannot be read.
pub(crate) async fn usage(asked: &Asked) -> anyhow::Result<Exit> {
    let name = &asked.customer;
    let customer = CustomerName::new(name).with_context(|| format!("the customer \"{name}\""))?;
    let Reading { config, ledger, now } = reading::open(&asked.listing.configured).await?;
    let levers: Vec<Lever> = match &asked.lever {
        None => config.levers.clone(),
        Some(name) => {
            let found = config.levers.iter().find(|lever| lever.name.as_str() == name);
            let Some(lever) = found else { bail!("the config has no lever \"{name}\"") };
            vec![lever.clone()]
        }
    };
    let ledger = Arc::new(ledger);
    let desk = desk(&config, &ledger);
    let mut told = Told::new();
    for lever in levers {
        let figures = desk.ask(&customer, &lever, now).await?;
        told.push((lever, figures));
    }
    if asked.listing.json {
        let told = told.iter().map(|(lever, figures)| (lever, figures));
        page::print_json(&customer_json(&customer, told))?;
    } else {
        page::print(|out| write(out, &told))?;
    }
    let unknown = told.iter().any(|(_, figures)| figures.is_err());
    Ok(if unknown { Exit::Failure } else { Exit::Ok })
}

fn period(lever: &Lever) -> String {
    match lever.period {
        Period::AllTime | Period::Subscription => period_word(lever.period).to_owned(),
        Period::Rolling(micros) => words::exactly(micros),
    }
}

fn write(out: &mut dyn Write, told: &Told) -> io::Result<()> {
    if told.is_empty() {
        return writeln!(out, "The config has no levers.");
    }
    let mut table = Table::new([
        ("lever", Side::Left),
        ("meter", Side::Left),
        ("period", Side::Left),
        ("subscription", Side::Left),
        ("bucket", Side::Left),
        ("usage", Side::Right),
    ]);
    for (lever, figures) in told {
        let Ok(Figures { usage, .. }) = figures else { continue };
        let named = [lever.name.to_string(), lever.meter.to_string(), period(lever)];
        let mut row = |of: &str, bucket: &str, usage: &Quantity| {
            let [name, meter, period] = named.clone();
            table.row([name, meter, period, of.to_owned(), bucket.to_owned(), usage.to_string()]);
        };
        row("", "", &usage.total);
        let mut rows = |of: &str, buckets: &BTreeMap<Option<String>, Quantity>| {
            for (bucket, usage) in buckets {
                row(of, bucket.as_deref().unwrap_or(NO_BUCKET), usage);
            }
        };
        if usage.by_bucket.keys().any(Option::is_some) {
            rows("", &usage.by_bucket);
        }
        for (subscription, buckets) in &usage.by_subscription {
            rows(subscription, buckets);
        }
    }
    table.write(out, "")?;
    for (lever, figures) in told {
        if let Err(why) = figures {
            writeln!(out, "{}: {why}", lever.name)?;
        }
    }
    Ok(())
}
