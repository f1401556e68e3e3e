//! Single records. Here: one record a request over many connections, against the same server
//! without a store.

use std::sync::Arc;

use anyhow::ensure;
use tallyd::clock::{Clock, SystemClock};

use super::stand::{Behind, Stand};
use super::table::{Figure, Goal, per_second};
use super::{load, records, say};

/// Requests in each round.
const REQUESTS: usize = 50_000;
/// Keep-alive connections: as many records wait for one commit.
const CONNECTIONS: usize = 256;

pub(crate) fn measure(rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let records = records::draw(REQUESTS, SystemClock.now())?;
    let requests = Arc::new(records::requests(&records, 1));
    let (mut subject, mut ceiling) = (vec![], vec![]);
    for round in 1..=rounds {
        say(&format!("single: round {round} of {rounds}"))?;
        let stand = Stand::start(Behind::Nothing)?;
        ceiling.push(per_second(REQUESTS, load::send(stand.address, CONNECTIONS, &requests)?));
        stand.end()?;
        let stand = Stand::start(Behind::Store)?;
        let took = load::send(stand.address, CONNECTIONS, &requests)?;
        ensure!(stand.end()? == REQUESTS, "not every acknowledged record is in the ledger");
        subject.push(per_second(REQUESTS, took));
    }
    Ok(vec![Figure {
        name: "acked single records over HTTP",
        ceiling_name: "the same server without a store",
        unit: "records/s",
        subject,
        ceiling,
        goal: Goal::AtLeast(400),
    }])
}
