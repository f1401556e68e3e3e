//! `tallyd held`. Here: what waits for a person, and what ends each wait. Never here: ending one.
//! Read next: [`super::questions`].

use std::collections::BTreeSet;
use std::io::{self, Write};

use anyhow::bail;
use serde_json::{Value, json};

use super::args::{HeldList, HeldShow};
use super::exit::Exit;
use super::questions::{self, conflict_json, stale_json};
use super::reading::{self, Reading};
use super::status::park_ended_by;
use super::table::{Side, Table};
use super::trace::write_event;
use super::{page, words};
use crate::domain::resolution::ItemKind;
use crate::domain::state::HoldReason;
use crate::domain::time::Timestamp;
use crate::ledger::holds::{HoldsLedger, Item};
use crate::ledger::operator::{HeldItem, OperatorLedger, ParkedGroup};
use crate::web::trace::event_json;

/// What ends a hold. A reason that this version does not know has no advice.
pub(crate) fn hold_ended_by(reason: &str) -> Option<&'static str> {
    HoldReason::parse(reason).map(HoldReason::ended_by)
}

/// Lists what is held, what is parked, and what else waits for a person.
///
/// # Errors
/// When the ledger cannot be read.
pub(crate) async fn list(asked: &HeldList) -> anyhow::Result<Exit> {
    let HeldList { limit, listing } = asked;
    let Reading { ledger, .. } = reading::open(&listing.configured).await?;
    // One more than is listed tells whether there are more.
    let mut held = ledger.held(limit.saturating_add(1)).await?;
    let mut questions = ledger.questions(limit.saturating_add(1)).await?;
    let parked = ledger.parked().await?;
    ledger.close().await;
    let more = [
        cut(&mut held, *limit),
        cut(&mut questions.conflicts, *limit),
        cut(&mut questions.corrections, *limit),
    ]
    .contains(&true);
    if listing.json {
        let held: Vec<Value> = held.iter().map(item_json).collect();
        let conflicts: Vec<Value> = questions.conflicts.iter().map(conflict_json).collect();
        let corrections: Vec<Value> = questions.corrections.iter().map(stale_json).collect();
        let parked: Vec<Value> = parked.iter().map(group_json).collect();
        page::print_json(&json!({
            "held": held, "conflicts": conflicts, "corrections": corrections, "parked": parked,
            "more": more,
        }))?;
    } else {
        page::print(|out| {
            write_items(out, &held)?;
            questions::write(out, &questions)?;
            if more {
                writeln!(
                    out,
                    "\nThe oldest {limit} of each are listed; there are more (--limit)."
                )?;
            }
            writeln!(out)?;
            write_groups(out, &parked)
        })?;
    }
    Ok(Exit::Ok)
}

/// Keeps the first `limit`; whether there were more.
pub(crate) fn cut<T>(items: &mut Vec<T>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    more
}

/// Shows one held event or balance, or a conflict.
///
/// # Errors
/// When there is none of that name, or the ledger cannot be read.
pub(crate) async fn show(asked: &HeldShow) -> anyhow::Result<Exit> {
    let name = asked.name;
    let Reading { ledger, now, .. } = reading::open(&asked.listing.configured).await?;
    let item = ledger.item(name).await?;
    let event = match name.kind {
        ItemKind::Event => ledger.event(name.number).await?,
        ItemKind::Balance | ItemKind::Conflict => None,
    };
    ledger.close().await;
    if item.is_none() && event.is_none() {
        bail!("{name} is not held");
    }
    if asked.listing.json {
        let (held, conflict) = match &item {
            Some(Item::Held(item)) => (Some(item_json(item)), None),
            Some(Item::Conflict(conflict)) => (None, Some(conflict_json(conflict))),
            None => (None, None),
        };
        let event = event.as_ref().map(event_json);
        let name = name.to_string();
        page::print_json(
            &json!({ "name": name, "held": held, "conflict": conflict, "event": event }),
        )?;
    } else {
        page::print(|out| {
            match &item {
                Some(Item::Held(item)) => write_item(out, item, now)?,
                Some(Item::Conflict(conflict)) => questions::write_one(out, conflict, now)?,
                None => writeln!(out, "{name} is not held.")?,
            }
            match &event {
                Some(event) => {
                    writeln!(out)?;
                    write_event(out, event, "")
                }
                None => Ok(()),
            }
        })?;
    }
    Ok(Exit::Ok)
}

fn item_json(item: &HeldItem) -> Value {
    json!({
        "name": item.name,
        "provider": item.provider,
        "account": item.account,
        "meter": item.meter,
        "quantity": item.quantity.to_string(),
        "reason": item.reason,
        "detail": item.detail,
        "since": item.since.to_rfc3339(),
        "token": item.token.as_str(),
        "ended_by": hold_ended_by(&item.reason),
    })
}

fn group_json(group: &ParkedGroup) -> Value {
    json!({
        "route": Some(&group.route).filter(|route| !route.is_empty()),
        "reason": group.reason,
        "meter": group.meter,
        "customer": group.customer,
        "detail": group.detail,
        "count": group.count,
        "quantity": group.quantity.to_string(),
        "ended_by": park_ended_by(&group.reason),
    })
}

fn write_item(out: &mut dyn Write, item: &HeldItem, now: Timestamp) -> io::Result<()> {
    writeln!(out, "{} is held since {}", item.name, words::instant(item.since, now))?;
    let mut table = Table::bare([Side::Left, Side::Left]);
    for (name, text) in [
        ("provider", item.provider.as_str()),
        ("account", &item.account),
        ("meter", &item.meter),
        ("quantity", &item.quantity.to_string()),
        ("reason", &item.reason),
        ("detail", &item.detail),
        ("token", item.token.as_str()),
        ("ended by", hold_ended_by(&item.reason).unwrap_or("-")),
    ] {
        table.row([name.to_owned(), text.to_owned()]);
    }
    table.write(out, "  ")
}

fn write_items(out: &mut dyn Write, items: &[HeldItem]) -> io::Result<()> {
    if items.is_empty() {
        return writeln!(out, "Nothing is held.");
    }
    let mut table = Table::new([
        ("held", Side::Left),
        ("provider", Side::Left),
        ("account", Side::Left),
        ("meter", Side::Left),
        ("quantity", Side::Right),
        ("reason", Side::Left),
        ("since", Side::Left),
        ("token", Side::Left),
        ("detail", Side::Left),
    ]);
    for item in items {
        table.row([
            item.name.clone(),
            item.provider.clone(),
            item.account.clone(),
            item.meter.clone(),
            item.quantity.to_string(),
            item.reason.clone(),
            item.since.to_rfc3339(),
            item.token.to_string(),
            item.detail.clone(),
        ]);
    }
    table.write(out, "")?;
    writeln!(out)?;
    let reasons = items.iter().map(|item| item.reason.as_str());
    write_endings(out, reasons, hold_ended_by)
}

fn write_groups(out: &mut dyn Write, groups: &[ParkedGroup]) -> io::Result<()> {
    if groups.is_empty() {
        return writeln!(out, "No record is parked.");
    }
    let mut table = Table::new([
        ("parked before", Side::Left),
        ("meter", Side::Left),
        ("records", Side::Right),
        ("quantity", Side::Right),
        ("reason", Side::Left),
        ("for example", Side::Left),
    ]);
    for group in groups {
        let route = match group.route.as_str() {
            "" => "any route".to_owned(),
            route => format!("route {route}"),
        };
        table.row([
            route,
            group.meter.clone(),
            group.count.to_string(),
            group.quantity.to_string(),
            group.reason.clone(),
            format!("customer {}: {}", group.customer, group.detail),
        ]);
    }
    table.write(out, "")?;
    writeln!(out)?;
    write_endings(out, groups.iter().map(|group| group.reason.as_str()), park_ended_by)
}

/// What ends each of the reasons that were listed.
fn write_endings<'r>(
    out: &mut dyn Write,
    reasons: impl Iterator<Item = &'r str>,
    ended_by: impl Fn(&str) -> Option<&'static str>,
) -> io::Result<()> {
    let reasons: BTreeSet<&str> = reasons.collect();
    let mut table = Table::new([("reason", Side::Left), ("ended by", Side::Left)]);
    for reason in reasons {
        table.row([reason.to_owned(), words::or_dash(ended_by(reason))]);
    }
    table.write(out, "")
}
