//! `tallyd held resolve`. Here: a verdict, given to the daemon that runs the ledger or to the
//! ledger itself, and what it changed. Never here: what a verdict makes of anything. Read next:
//! [`super::verify`].

use std::io::{self, Write};

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};

use super::args::HeldResolve;
use super::exit::Exit;
use super::import::door::ledger_or_socket;
use super::table::{Side, Table};
use super::{page, reading};
use crate::config::Config;
use crate::daemon::Time;
use crate::domain::resolution::Token;
use crate::ledger::holds::{Decision, HoldsLedger, Resolution};
use crate::store::sqlite::SqliteLedger;
use crate::web::holds::{resolved_json, sentence};

/// Decides one held thing.
///
/// # Errors
/// When it is not held, not as it was seen, or cannot be decided so.
pub(crate) async fn resolve(asked: &HeldResolve) -> anyhow::Result<Exit> {
    let config = reading::configure(&asked.listing.configured)?;
    let why = sentence("--why", &asked.why).map_err(|said| anyhow!(said))?;
    let who = asked.who.clone().map_or_else(invoker, Ok)?;
    let who = sentence("--who", &who).map_err(|said| anyhow!(said))?;
    let expect = match &asked.expect {
        Some(token) => Token::typed(token),
        None => seen(&config, asked).await?,
    };
    let (item, verdict) = (asked.name, asked.verdict);
    let resolution = Resolution { item, verdict, expect, why, who, dry_run: asked.dry_run };
    let changed = decide(&config, &resolution).await?;
    if asked.listing.json {
        page::print_json(&changed)?;
    } else {
        page::print(|out| write(out, &resolution, &changed))?;
    }
    Ok(Exit::Ok)
}

/// Who runs this, as the system knows them.
pub(crate) fn invoker() -> anyhow::Result<String> {
    let name =
        ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    if let Some(name) = name.filter(|name| !name.trim().is_empty()) {
        return Ok(format!("cli:{name}"));
    }
    Ok(format!("cli:uid {}", rustix::process::getuid().as_raw()))
}

/// The item's token as it is now; the verb refuses when it changes until it is decided.
async fn seen(config: &Config, asked: &HeldResolve) -> anyhow::Result<Token> {
    let ledger = SqliteLedger::open_to_read(&config.store.path).await?;
    let item = ledger.item(asked.name).await?;
    ledger.close().await;
    // What is not held any longer has no token; the verb says what became of it.
    Ok(item.map_or_else(|| Token::typed("-"), |item| item.token().clone()))
}

async fn decide(config: &Config, resolution: &Resolution) -> anyhow::Result<Value> {
    match ledger_or_socket(config, "held resolve").await? {
        Ok(ledger) => {
            let decided = ledger.resolve(resolution, Time::of(config).await?.clock.now()).await;
            ledger.close().await;
            match decided? {
                Decision::Done(resolved) => Ok(resolved_json(&resolved)),
                Decision::Refused(why) => bail!(why),
            }
        }
        Err(socket) => {
            let body = json!({
                "verdict": resolution.verdict.typed(),
                "expect": resolution.expect.as_str(),
                "why": resolution.why,
                "who": resolution.who,
                "dry_run": resolution.dry_run,
            });
            let item = resolution.item.to_string();
            let said = socket
                .post("/v1/held", ("item", &item), "application/json", body.to_string())
                .await;
            said.with_context(|| format!("{item} was not decided"))
        }
    }
}

fn write(out: &mut dyn Write, resolution: &Resolution, changed: &Value) -> io::Result<()> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (item, said) = (resolution.item, resolution.verdict.typed());
    match changed["resolution"].as_i64() {
        Some(number) => writeln!(out, "{item} is decided: {said} (resolution {number}).")?,
        None => writeln!(out, "{item} as {said} would change this; nothing was changed:")?,
    }
    let mut table = Table::bare([Side::Left, Side::Left]);
    for moved in changed["moves"].as_array().into_iter().flatten() {
        let name = format!("event:{}", moved["event"]);
        table.row([name, format!("{} -> {}", text(&moved["from"]), text(&moved["to"]))]);
    }
    let balance = &changed["balance"];
    if !balance.is_null() {
        for sum in ["accrued", "told", "outstanding"] {
            let (from, to) = (text(&balance[sum]["from"]), text(&balance[sum]["to"]));
            let said = if from == to { from } else { format!("{from} -> {to}") };
            table.row([format!("{sum} in balance:{}", balance["balance"]), said]);
        }
    }
    if let Some(records @ 1..) = changed["records_written_off"].as_i64() {
        table.row(["written off from".to_owned(), super::words::counted(records, "record")]);
    }
    table.row(["then".to_owned(), text(&changed["next"])]);
    table.write(out, "  ")
}
