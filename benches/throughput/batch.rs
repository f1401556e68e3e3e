//! Acknowledged batches. Here: intake over HTTP against the same rows inserted with bare sqlx. An
//! answer of 200 means that the batch is on disk, so both sides flush.

use std::sync::Arc;

use anyhow::ensure;
use tallyd::clock::{Clock, SystemClock};
use tallyd::ledger::intake::Admitted;

use super::bare::{self, Into, Row};
use super::stand::{Behind, Stand};
use super::table::{Figure, Goal, per_second};
use super::{load, records, say};

/// Records in each round: the index then is larger than a batch dirties, and a round takes a second
/// or two.
const RECORDS: usize = 200_000;
/// Records in a request, and rows in a transaction of the ceiling.
const BATCH: usize = 1_000;
/// Rows in a transaction of the harder ceiling: more than eight requests together bring, which is
/// what the server's group commit makes of them.
const BATCH_LARGE: usize = 10_000;
/// Keep-alive connections.
const CONNECTIONS: usize = 8;

pub(crate) fn measure(rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let records = records::draw(RECORDS, SystemClock.now())?;
    let requests = Arc::new(records::requests(&records, BATCH));
    let admitted = records.into_iter().map(Admitted::from);
    let rows: Vec<Row> = admitted.map(|admitted| Row::of(&admitted)).collect();
    let (mut subject, mut bare, mut large) = (vec![], vec![], vec![]);
    let (mut append, mut append_large, mut raw) = (vec![], vec![], vec![]);
    for round in 1..=rounds {
        say(&format!("batch: round {round} of {rounds}"))?;
        bare.push(per_second(RECORDS, bare::insert(&rows, BATCH, Into::Journal)?));
        let stand = Stand::start(Behind::Store)?;
        let took = load::send(stand.address, CONNECTIONS, &requests)?;
        ensure!(stand.end()? == RECORDS, "not every acknowledged record is in the ledger");
        subject.push(per_second(RECORDS, took));
        large.push(per_second(RECORDS, bare::insert(&rows, BATCH_LARGE, Into::Journal)?));
        append.push(per_second(RECORDS, bare::insert(&rows, BATCH, Into::Append)?));
        append_large.push(per_second(RECORDS, bare::insert(&rows, BATCH_LARGE, Into::Append)?));
        raw.push(per_second(RECORDS, bare::append_inside(&rows, BATCH_LARGE)?));
    }
    let figure = |name, ceiling_name, ceiling, goal| Figure {
        name,
        ceiling_name,
        unit: "records/s",
        subject: subject.clone(),
        ceiling,
        goal,
    };
    Ok(vec![
        figure(
            "acked batches of 1,000 over HTTP",
            "bare insert, 1,000 rows a commit",
            bare,
            Goal::AtLeast(600),
        ),
        figure("the same", "bare insert, 10,000 rows a commit", large, Goal::AtLeast(600)),
        figure("the same", "bare append, 1,000 rows a commit", append, Goal::Report),
        figure("the same", "bare append, 10,000 rows a commit", append_large, Goal::Report),
        figure("the same", "append inside SQLite, 10,000 rows a commit", raw, Goal::Report),
    ])
}
