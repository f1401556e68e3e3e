//! A client over HTTP. Here: one parcel after the other, and connections that break where a seed
//! says. Never here: what an answer means for what is remembered ([`super::memory`]). Read next:
//! [`super::importer`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;

use super::chance::Dice;
use super::correction::Correction;
use super::fixes::Verdict;
use super::memory::{Booked, Load, Parcel, Way};
use super::record::Record;
use super::shared::{Phase, Shared, TOKEN};
use super::wire::{Answer, Connection, JSON, LINES, bearer, request};

/// One request in so many is cut by the client while it is sent, and as many while its answer is
/// waited for.
const CUT_ONE_IN: u64 = 40;
/// Records in the largest requests, and in those of a middle size.
const LARGE: (u64, u64) = (200, 1_000);
const MIDDLE: (u64, u64) = (2, 60);
/// One request in so many is usage though corrections are due.
const USAGE_FIRST_ONE_IN: u64 = 3;

/// What became of a request.
enum Sent {
    Answered(Answer),
    Unanswered,
}

/// Sends until the end.
pub(crate) async fn run(shared: Arc<Shared>, stream: u64) {
    let mut dice = shared.dice(stream);
    let (mut bell, shown) = (shared.bell(), bearer(TOKEN));
    let mut connection: Option<(SocketAddr, Connection)> = None;
    while shared.phase() != Phase::Over {
        let Some(address) = shared.address() else {
            connection = None;
            shared.rung(&mut bell).await;
            continue;
        };
        let Some(load) = next(&shared, &mut dice) else {
            shared.rung(&mut bell).await;
            continue;
        };
        let bytes = match &load {
            Load::Usage(parcel) => {
                let (kind, body) = body(shared.memory().of(parcel), &mut dice);
                request("POST", "/v1/usage", &shown, kind, &body)
            }
            Load::Correction(correction) => {
                request("POST", &correction.path(), &shown, JSON, &correction.body())
            }
        };
        let open = connection.take().filter(|(opened, _)| *opened == address);
        let (sent, open) = send(address, open.map(|(_, open)| open), &bytes, &mut dice).await;
        connection = open.map(|open| (address, open));
        match sent {
            Ok(Sent::Answered(answer)) => {
                let refused = match load {
                    Load::Usage(parcel) => book(&shared, parcel, &answer),
                    Load::Correction(correction) => correct(&shared, correction, &answer),
                };
                if refused == Refused::ForNow {
                    shared.rung(&mut bell).await;
                }
            }
            Ok(Sent::Unanswered) => {
                let mut memory = shared.memory();
                memory.counts.cut += 1;
                memory.unanswered(load);
            }
            Err(_) => {
                shared.memory().unanswered(load);
                shared.rung(&mut bell).await;
            }
        }
    }
}

/// What to send next: corrections that are due mostly go first.
fn next(shared: &Shared, dice: &mut Dice) -> Option<Load> {
    let size = match dice.below(10) {
        0..5 => 1,
        5..9 => dice.between(MIDDLE.0, MIDDLE.1),
        _ => dice.between(LARGE.0, LARGE.1),
    };
    let mut memory = shared.memory();
    if !dice.once_in(USAGE_FIRST_ONE_IN)
        && let Some(correction) = memory.take_correction(Way::Http, dice)
    {
        return Some(Load::Correction(correction));
    }
    if let Some(parcel) = memory.take(Way::Http, size, dice) {
        return Some(Load::Usage(parcel));
    }
    memory.take_correction(Way::Http, dice).map(Load::Correction)
}

/// The records as one of the bodies that are taken, and its kind.
fn body(records: &[Record], dice: &mut Dice) -> (&'static str, String) {
    let lines: Vec<String> = records.iter().map(Record::json).collect();
    match lines.as_slice() {
        [line] if dice.once_in(2) => (JSON, line.clone()),
        lines if dice.once_in(2) => (JSON, format!("[{}]", lines.join(","))),
        lines => (LINES, lines.join("\n")),
    }
}

/// Sends a request whole, or cuts it; answers with the connection if it can be used again.
async fn send(
    address: SocketAddr,
    open: Option<Connection>,
    bytes: &[u8],
    dice: &mut Dice,
) -> (io::Result<Sent>, Option<Connection>) {
    let connected = match open {
        Some(connection) => Ok(connection),
        None => Connection::open(address).await,
    };
    let mut connection = match connected {
        Ok(connection) => connection,
        Err(error) => return (Err(error), None),
    };
    let cut = match dice.below(CUT_ONE_IN) {
        0 => usize::try_from(dice.below(u64::try_from(bytes.len()).unwrap_or(1))).ok(),
        1 => Some(bytes.len()),
        _ => None,
    };
    let part = cut.and_then(|end| bytes.get(..end)).unwrap_or(bytes);
    if let Err(error) = connection.send(part).await {
        return (Err(error), None);
    }
    if cut.is_some() {
        return (Ok(Sent::Unanswered), None);
    }
    match connection.answer().await {
        Ok(answer) if answer.is_last => (Ok(Sent::Answered(answer)), None),
        Ok(answer) => (Ok(Sent::Answered(answer)), Some(connection)),
        Err(error) => (Err(error), None),
    }
}

/// Whether a parcel has to wait.
#[derive(PartialEq, Eq)]
enum Refused {
    No,
    ForNow,
}

/// Remembers what an answer said.
fn book(shared: &Shared, parcel: Parcel, answer: &Answer) -> Refused {
    let said = answer.json();
    let count = |name: &str| said[name].as_u64();
    let mut memory = shared.memory();
    match (answer.status, count("accepted"), count("duplicate")) {
        (200, Some(accepted), Some(duplicate)) => {
            memory.acknowledge(parcel, Booked { accepted, duplicate });
            Refused::No
        }
        (status @ (429 | 503), _, _) => {
            let code = said["error"]["code"].as_str().unwrap_or("unnamed");
            memory.refused(Load::Usage(parcel), &format!("{status} {code}"));
            Refused::ForNow
        }
        (status, _, _) => {
            let said = shortened(&said);
            memory.find(format!("{:?} of the source web: {status} {said}", parcel.records));
            memory.refused(Load::Usage(parcel), &status.to_string());
            Refused::ForNow
        }
    }
}

/// Remembers what the answer to a correction said.
fn correct(shared: &Shared, correction: Correction, answer: &Answer) -> Refused {
    let said = answer.json();
    let one = &said["corrections"][0];
    let waiting = one["waiting"] == true;
    let verdict = match (answer.status, one["status"].as_str()) {
        (200, Some("accepted")) => Ok(Verdict::Accepted { waiting }),
        (200, Some("duplicate")) => Ok(Verdict::Duplicate),
        (422, Some("stale")) => Ok(Verdict::Stale),
        (422, Some("conflict")) => Ok(Verdict::Conflict),
        (status, _) => Err(status),
    };
    let mut memory = shared.memory();
    match verdict {
        Ok(verdict) => {
            memory.corrected(correction, verdict, one["standing"].as_str());
            return Refused::No;
        }
        Err(status @ (429 | 503)) => {
            let code = said["error"]["code"].as_str().unwrap_or("unnamed");
            memory.refused(Load::Correction(correction), &format!("{status} {code}"));
        }
        Err(status) => {
            memory.find(format!("{correction:?}: {status} {}", shortened(&said)));
            memory.refused(Load::Correction(correction), &status.to_string());
        }
    }
    Refused::ForNow
}

fn shortened(said: &Value) -> String {
    said.to_string().chars().take(300).collect()
}
