//! `tallyd rejected`. Here: what was rejected and waits for a person, and ending it through the
//! daemon that runs the ledger or on the ledger itself. Never here: what makes a record (see
//! `intake`). Read next: [`super::verify`].

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::args::rejected::{
    Rejected, RejectedDismiss, RejectedItems, RejectedList, RejectedResubmit,
};
use super::exit::Exit;
use super::held::cut;
use super::import::door::{Here, ledger_or_socket};
use super::reading::{self, Reading};
use super::resolve::invoker;
use super::socket::{AskError, Socket};
use super::table::{Side, Table};
use super::{page, words};
use crate::config::Config;
use crate::daemon::Time;
use crate::intake::resubmit::Resubmission;
use crate::ledger::rejected::{Ended, RejectedEnd, RejectedFilter, RejectedItem, RejectedLedger};
use crate::web::holds::sentence;
use crate::web::rejected::ended_json;

/// What became of one item: the answer of who ended it, or why it is open as before.
type Told = (i64, Result<Value, String>);

/// Does what was asked of what was rejected.
///
/// # Errors
/// When the ledger cannot be read or fails, or what was typed cannot be used.
pub(crate) async fn rejected(asked: &Rejected) -> anyhow::Result<Exit> {
    match asked {
        Rejected::List(asked) => list(asked).await,
        Rejected::Resubmit(asked) => resubmit(asked).await,
        Rejected::Dismiss(asked) => dismiss(asked).await,
    }
}

async fn list(asked: &RejectedList) -> anyhow::Result<Exit> {
    let Reading { ledger, .. } = reading::open(&asked.listing.configured).await?;
    let filter = RejectedFilter {
        source: asked.source.clone(),
        after: asked.after,
        ended: asked.all,
        // One more than is listed tells whether there are more.
        limit: asked.limit.saturating_add(1),
    };
    let mut items = ledger.rejected(&filter).await?;
    ledger.close().await;
    let more = cut(&mut items, asked.limit);
    if asked.listing.json {
        let items: Vec<Value> = items.iter().map(item_json).collect();
        page::print_json(&json!({ "rejected": items, "more": more }))?;
    } else {
        page::print(|out| write_list(out, &items, asked.all, more))?;
    }
    Ok(Exit::Ok)
}

fn item_json(item: &RejectedItem) -> Value {
    let kept = &item.kept;
    let end = item.end.as_ref().map(|end| {
        json!({
            "ending": end.ending.as_str(),
            "position": end.position.map(|position| position.0),
            "why": end.why,
            "who": end.who,
            "at": end.at.to_rfc3339(),
        })
    });
    json!({
        "number": item.number,
        "since": item.since.to_rfc3339(),
        "source": Some(&kept.source).filter(|source| !source.is_empty()),
        "id": kept.id,
        "place": kept.place,
        "field": kept.field,
        "reason": kept.reason,
        "form": kept.form.as_str(),
        "raw": kept.raw,
        "whole": kept.whole,
        "end": end,
    })
}

fn write_list(
    out: &mut dyn Write,
    items: &[RejectedItem],
    all: bool,
    more: bool,
) -> io::Result<()> {
    let Some(last) = items.last() else {
        let said = if all { "Nothing was rejected." } else { "Nothing that was rejected waits." };
        return writeln!(out, "{said}");
    };
    let mut table = Table::new([
        ("number", Side::Right),
        ("since", Side::Left),
        ("source", Side::Left),
        ("id", Side::Left),
        ("came as", Side::Left),
        ("place", Side::Left),
        // A column without a word is left out.
        (if all { "ended" } else { "" }, Side::Left),
        ("what is wrong", Side::Left),
    ]);
    for RejectedItem { number, kept, since, end } in items {
        let open = || if all { "-".to_owned() } else { String::new() };
        table.row([
            number.to_string(),
            since.to_rfc3339(),
            words::or_dash(Some(shown(&kept.source).as_str()).filter(|source| !source.is_empty())),
            words::or_dash(kept.id.as_deref().map(shown).as_deref()),
            kept.form.to_string(),
            kept.place.clone(),
            end.as_ref().map_or_else(open, ending),
            format!("{} {}", kept.field, kept.reason),
        ]);
    }
    table.write(out, "")?;
    if more {
        let last = last.number;
        writeln!(out, "\nThese are the oldest; there are more (--after {last}).")?;
    }
    Ok(())
}

/// What was sent as a name, and may be none: on one line, and without what steers a terminal.
fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}

fn ending(end: &RejectedEnd) -> String {
    let RejectedEnd { ending, position, why, who, at } = end;
    let position = position.map_or_else(String::new, |position| format!(" as record {position}"));
    let why = why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    format!("{ending}{position} by {who} at {at}{why}")
}

async fn resubmit(asked: &RejectedResubmit) -> anyhow::Result<Exit> {
    let config = reading::configure(&asked.listing.configured)?;
    let who = who(&asked.items)?;
    let most = config.intake.record_bytes_max;
    let instead = asked.file.as_deref().map(|file| read(file, most)).transpose()?;
    let mut door = Door::open(&config, "rejected resubmit").await?;
    let mut told: Vec<Told> = Vec::new();
    let mut done = Ok(());
    for number in asked.items.numbers() {
        let again = Resubmission { number, instead: instead.clone(), who: who.clone() };
        match door.resubmit(again).await {
            Ok(answer) => told.push((number, answer)),
            Err(why) => {
                done = Err(why);
                break;
            }
        }
    }
    door.close().await;
    show(&told, asked.listing.json)?;
    done.map(|()| exit(&told))
}

async fn dismiss(asked: &RejectedDismiss) -> anyhow::Result<Exit> {
    let config = reading::configure(&asked.listing.configured)?;
    let who = who(&asked.items)?;
    let why = sentence("--reason", &asked.reason).map_err(|said| anyhow!(said))?;
    let mut door = Door::open(&config, "rejected dismiss").await?;
    let mut told: Vec<Told> = Vec::new();
    let mut done = Ok(());
    for number in asked.items.numbers() {
        match door.dismiss(number, &why, &who).await {
            Ok(answer) => told.push((number, answer)),
            Err(why) => {
                done = Err(why);
                break;
            }
        }
    }
    door.close().await;
    show(&told, asked.listing.json)?;
    done.map(|()| exit(&told))
}

fn who(items: &RejectedItems) -> anyhow::Result<String> {
    let who = items.who.clone().map_or_else(invoker, Ok)?;
    sentence("--who", &who).map_err(|said| anyhow!(said))
}

/// The text of a file, or of standard input.
fn read(file: &Path, most: usize) -> anyhow::Result<String> {
    let name = file.display();
    let mut text = Vec::new();
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    let limit = most.saturating_add(1);
    let read = if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(limit).read_to_end(&mut text))
    };
    read.with_context(|| format!("{name} cannot be read"))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > most {
        bail!("{name} is longer than {most} bytes, which is the most that a record may have");
    }
    let text = String::from_utf8(text).with_context(|| format!("{name} is not UTF-8"))?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

fn exit(told: &[Told]) -> Exit {
    if told.iter().all(|(_, answer)| answer.is_ok()) { Exit::Ok } else { Exit::Failure }
}

fn show(told: &[Told], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let items: Vec<Value> = told
            .iter()
            .map(|(number, answer)| match answer {
                Ok(said) => {
                    let (status, position) = (&said["status"], &said["position"]);
                    json!({ "number": number, "status": status, "position": position })
                }
                Err(why) => json!({ "number": number, "status": "refused", "reason": why }),
            })
            .collect();
        return page::print_json(&json!({ "items": items }));
    }
    page::print(|out| {
        for (number, answer) in told {
            let said = match answer {
                Ok(said) => match (said["status"].as_str(), &said["position"]) {
                    (Some("accepted"), position) => format!("booked as record {position}"),
                    (Some("duplicate"), position) => {
                        format!("was booked already, as record {position}")
                    }
                    (Some(_) | None, _) => "dismissed".to_owned(),
                },
                Err(why) => format!("nothing was changed: {why}"),
            };
            writeln!(out, "{number}: {said}")?;
        }
        Ok(())
    })
}

/// The way in: the ledger itself when nobody runs it, or the daemon that does.
enum Door {
    Ledger(Box<Here>),
    Daemon(Socket),
}

impl Door {
    async fn open(config: &Config, command: &str) -> anyhow::Result<Self> {
        Ok(match ledger_or_socket(config, command).await? {
            Ok(ledger) => {
                let clock = Time::of(config).await?.clock;
                Self::Ledger(Box::new(Here::new(config, ledger, clock)))
            }
            Err(socket) => Self::Daemon(socket),
        })
    }

    async fn resubmit(&mut self, asked: Resubmission) -> anyhow::Result<Result<Value, String>> {
        match self {
            Self::Ledger(here) => Ok(ended(&here.resubmit(asked).await?)),
            Self::Daemon(socket) => {
                let body = json!({ "instead": asked.instead, "who": asked.who });
                ask(socket, "/v1/rejected/resubmit", asked.number, &body).await
            }
        }
    }

    async fn dismiss(
        &mut self,
        number: i64,
        why: &str,
        who: &str,
    ) -> anyhow::Result<Result<Value, String>> {
        match self {
            Self::Ledger(here) => Ok(ended(&here.dismiss(number, why, who).await?)),
            Self::Daemon(socket) => {
                let body = json!({ "why": why, "who": who });
                ask(socket, "/v1/rejected/dismiss", number, &body).await
            }
        }
    }

    async fn close(self) {
        match self {
            Self::Ledger(here) => here.close().await,
            Self::Daemon(_) => {}
        }
    }
}

/// One form, whoever answers.
fn ended(ended: &Ended) -> Result<Value, String> {
    match ended {
        Ended::Refused(why) => Err(why.clone()),
        Ended::Done | Ended::Booked(_) | Ended::Duplicate(_) => Ok(ended_json(ended)),
    }
}

async fn ask(
    socket: &Socket,
    path: &str,
    number: i64,
    body: &Value,
) -> anyhow::Result<Result<Value, String>> {
    let number = number.to_string();
    let asked = socket.post(path, ("number", &number), "application/json", body.to_string());
    match asked.await {
        Ok(said) => Ok(Ok(said)),
        Err(AskError::Refused { status: StatusCode::CONFLICT, said }) => Ok(Err(said)),
        Err(why) => Err(why.into()),
    }
}
