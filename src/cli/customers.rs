//! `tallyd customers import`. Here: a table of accounts in, how many changed out. Never here: what
//! waits for them (see `accrual`). Read next: [`super::exit`].

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::CustomersImport;
use super::exit::Exit;
use super::import::door::ledger_or_socket;
use super::{page, reading, words};
use crate::config::Config;
use crate::daemon::Time;
use crate::domain::names::{AccountName, CustomerName, ProviderName};
use crate::ledger::operator::OperatorLedger;

/// Most accounts in one transaction or request: half a megabyte, and the ledger is free again
/// between two.
const CHUNK_MAX: usize = 5_000;
/// Largest file, in bytes: a million accounts with the longest of names. It is held whole, as
/// nothing is changed before all of it is judged.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Most problems that are told at once.
const PROBLEMS_MAX: usize = 20;
/// The columns.
const COLUMNS: [&str; 2] = ["customer", "account"];

/// A customer, and its account.
type Pair = (CustomerName, AccountName);

/// Imports customers' accounts.
///
/// # Errors
/// When the file holds anything that is wrong, or the ledger fails.
pub(crate) async fn import(asked: &CustomersImport) -> anyhow::Result<Exit> {
    let config = reading::configure(&asked.listing.configured)?;
    let provider = provider(&config, &asked.provider)?;
    let accounts = read(&asked.file)?;
    let changed = if accounts.is_empty() { 0 } else { book(&config, &provider, &accounts).await? };
    let (all, name) = (accounts.len(), provider.as_str());
    if asked.listing.json {
        let document = json!({ "provider": name, "accounts": all, "changed": changed });
        page::print_json(&document)?;
    } else {
        let accounts = words::counted(i64::try_from(all).unwrap_or(i64::MAX), "account");
        page::print(|out| writeln!(out, "{accounts} at {name}: {changed} changed."))?;
    }
    Ok(Exit::Ok)
}

fn provider(config: &Config, name: &str) -> anyhow::Result<ProviderName> {
    let mut known = config.deliveries().map(|delivery| &delivery.provider);
    if let Some(provider) = known.clone().find(|known| known.as_str() == name) {
        return Ok(provider.clone());
    }
    match known.next() {
        None => bail!("the provider \"{name}\" is not configured, and neither is another"),
        Some(first) => {
            let names: Vec<&str> =
                std::iter::once(first).chain(known).map(ProviderName::as_str).collect();
            bail!("the provider \"{name}\" is not configured; there is {}", names.join(", "))
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Pair>> {
    if path.as_os_str() == "-" {
        return parse(io::stdin().lock(), "standard input");
    }
    let file = path.display().to_string();
    let opened = File::open(path).with_context(|| format!("{file} cannot be opened"))?;
    parse(opened, &file)
}

/// The accounts of a file, each once; or all that is wrong with it.
fn parse(reader: impl Read, file: &str) -> anyhow::Result<Vec<Pair>> {
    let mut limited = reader.take(FILE_BYTES_MAX);
    let mut rows = csv::Reader::from_reader(&mut limited);
    let header = rows.headers().with_context(|| format!("{file} cannot be read"))?.clone();
    let columns = columns(&header, file)?;
    let mut accounts: Vec<Pair> = Vec::new();
    let mut seen: HashMap<CustomerName, (usize, u64)> = HashMap::new();
    let mut problems = Vec::new();
    for row in rows.records() {
        let row = row.with_context(|| format!("{file} cannot be read"))?;
        let line = row.position().map_or(0, csv::Position::line);
        let [customer, account] = columns.map(|column| row.get(column).unwrap_or_default());
        let pair = match pair(customer, account) {
            Ok(pair) => pair,
            Err(problem) => {
                problems.push(format!("{file}:{line} {problem}"));
                continue;
            }
        };
        match seen.get(&pair.0) {
            None => {
                seen.insert(pair.0.clone(), (accounts.len(), line));
                accounts.push(pair);
            }
            Some((index, _)) if accounts[*index].1 == pair.1 => {}
            Some((index, first)) => problems.push(format!(
                "{file}:{line} customer \"{}\" has the account \"{}\", and \"{}\" on line {first}",
                pair.0, pair.1, accounts[*index].1
            )),
        }
    }
    if limited.limit() == 0 {
        bail!("{file} is longer than {FILE_BYTES_MAX} bytes; import it in several files");
    }
    if problems.is_empty() {
        return Ok(accounts);
    }
    let more = problems.len().saturating_sub(PROBLEMS_MAX);
    problems.truncate(PROBLEMS_MAX);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    bail!("nothing was imported:\n{}", problems.join("\n"))
}

/// Where the two columns stand.
fn columns(header: &csv::StringRecord, file: &str) -> anyhow::Result<[usize; 2]> {
    let names: Vec<&str> = header.iter().map(|name| name.trim_start_matches('\u{feff}')).collect();
    if let Some(other) = names.iter().find(|name| !COLUMNS.contains(name)) {
        bail!("{file} has a column {other:?}, and takes only customer and account");
    }
    let mut columns = [0; 2];
    for (column, name) in columns.iter_mut().zip(COLUMNS) {
        let mut found = names.iter().enumerate().filter(|(_, each)| **each == name);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => *column = index,
            (Some(_), Some(_)) => bail!("{file} has the column \"{name}\" twice"),
            (None, _) => bail!("{file} has no column \"{name}\""),
        }
    }
    Ok(columns)
}

fn pair(customer: &str, account: &str) -> Result<Pair, String> {
    let customer = CustomerName::new(customer).map_err(|why| format!("customer {why}"))?;
    let account = AccountName::new(account).map_err(|why| format!("account {why}"))?;
    Ok((customer, account))
}

#[derive(Deserialize)]
struct Told {
    changed: u64,
}

/// Books the accounts; answers how many changed. An import that was cut short is begun again.
async fn book(config: &Config, provider: &ProviderName, accounts: &[Pair]) -> anyhow::Result<u64> {
    let mut changed = 0;
    match ledger_or_socket(config, "customers import").await? {
        Ok(ledger) => {
            let clock = Time::of(config).await?.clock;
            for chunk in accounts.chunks(CHUNK_MAX) {
                changed += ledger.import_accounts(provider, chunk, clock.now()).await?;
            }
            ledger.close().await;
        }
        Err(socket) => {
            for chunk in accounts.chunks(CHUNK_MAX) {
                let parameter = ("provider", provider.as_str());
                let body = Value::from_iter(chunk.iter().map(|(customer, account)| {
                    json!({ "customer": customer.as_str(), "account": account.as_str() })
                }));
                let told: Told = socket
                    .post("/v1/customers", parameter, "application/json", body.to_string())
                    .await?;
                changed += told.changed;
            }
        }
    }
    Ok(changed)
}
