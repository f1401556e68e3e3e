//! What a provider has counted, as a room reads it. Here: the MUSTs of totals. Never here: what a
//! total proves (`tallyd::reconcile`). Read next: [`super::meeting`].

use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::names::ProviderMeter;
use tallyd::domain::time::Window;
use tallyd::provider::{Grouping, Totals};

use super::subject::{Access, HOUR, MIDNIGHT, Made, Trial, hour, http, run, span, told_time};
use crate::support::raw_server::{RawServer, Record};

/// More requests than any room makes for one question.
const PATIENCE_CALLS: usize = 1_000;

const DAY: i64 = 24 * HOUR;

fn first_hours() -> Window {
    span(MIDNIGHT, MIDNIGHT + 4 * HOUR)
}

async fn read(trial: &Trial, made: &Made, of: Window, by: Grouping) -> Result<Totals, Answer> {
    made.provider.read_totals(&trial.meter(), &trial.account(), of, by).await
}

/// The reading of a span from a server that gives these answers in turn.
fn answered(
    trial: &Trial,
    of: Window,
    by: Grouping,
    exchange: &[Vec<u8>],
) -> (Result<Totals, Answer>, Record) {
    trial.asked(exchange, async |made: &Made| read(trial, made, of, by).await)
}

fn quantities(totals: &Totals) -> Vec<String> {
    totals.parts.iter().map(|part| part.quantity.to_string()).collect()
}

pub(super) fn tiles(trial: &Trial) {
    let whole = span(MIDNIGHT, MIDNIGHT + 3 * DAY);
    for (grouping, seconds) in
        [(Grouping::Whole, 3 * DAY), (Grouping::Day, DAY), (Grouping::Hour, HOUR)]
    {
        let empty = trial.subject.totals(&[], None);
        let (found, _) = answered(trial, whole, grouping, &[empty]);
        trial.holds(found.is_ok(), (grouping, &found));
        let parts = found.unwrap().parts;
        let starts = (MIDNIGHT..MIDNIGHT + 3 * DAY).step_by(usize::try_from(seconds).unwrap());
        let tiles: Vec<Window> = starts.map(|start| span(start, start + seconds)).collect();
        let spans: Vec<Window> = parts.iter().map(|part| part.span).collect();
        trial.holds(spans == tiles, (grouping, spans));
        trial.holds(parts.iter().all(|part| part.quantity.is_zero()), (grouping, &parts));
    }
    // Whatever order they come in.
    let rows = [(hour(3), "3"), (hour(1), "1.5")];
    let page = trial.subject.totals(&rows, None);
    let (found, _) = answered(trial, first_hours(), Grouping::Hour, &[page]);
    let said = found.as_ref().map(quantities);
    trial.holds(said == Ok(["0", "1.5", "0", "3"].map(str::to_owned).into()), &found);
}

pub(super) fn exact(trial: &Trial) {
    let pages = [
        trial.subject.totals(&[(hour(3), "0.30000000000000004")], Some(1)),
        trial.subject.totals(&[(hour(0), "12345678901234567890.01")], None),
    ];
    let (found, _) = answered(trial, first_hours(), Grouping::Hour, &pages);
    let exact = ["12345678901234567890.01", "0", "0", "0.30000000000000004"];
    trial.holds(found.as_ref().map(quantities) == Ok(exact.map(str::to_owned).into()), &found);
}

/// Reads from nobody: whatever is asked all the same is seen.
fn unasked(trial: &Trial, meter: &ProviderMeter, of: Window, by: Grouping, case: &str) {
    let server = RawServer::start(vec![]);
    let made = trial.made(&Access::hasty(&server.url()));
    let found = run(made.provider.read_totals(meter, &trial.account(), of, by));
    let refused = matches!(&found, Err(answer) if matches!(answer.outcome, Outcome::Refused(_)));
    trial.holds(refused, (case, &found));
    let record = server.finish();
    trial.holds(record.connections == 0, (case, record));
}

pub(super) fn grain(trial: &Trial) {
    let made = trial.idle();
    let promise = made.provider.capabilities(&trial.meter()).unwrap().read_back.unwrap();
    let start = first_hours().start;
    let moved = |micros: i64| start.plus_micros(micros);
    let off = promise.grain_micros + 1;
    let hours = |first: i64, last: i64| span(MIDNIGHT + first, MIDNIGHT + last);
    for (case, of, by) in [
        ("begins off its grain", Window { start: moved(1), end: moved(HOUR * 1_000_000) }, None),
        ("ends off its grain", Window { start, end: moved(off) }, None),
        ("without time", Window { start, end: start }, None),
        ("backwards", Window { start: moved(promise.grain_micros), end: start }, None),
        ("a part of an hour", hours(0, HOUR + 60), Some(Grouping::Hour)),
        ("from within an hour", hours(60, HOUR), Some(Grouping::Hour)),
        ("a part of a day", hours(0, HOUR), Some(Grouping::Day)),
        ("from within a day", hours(HOUR, 2 * DAY), Some(Grouping::Day)),
        ("no hour", hours(0, 0), Some(Grouping::Hour)),
        ("more hours than anybody needs", hours(0, 100 * 365 * DAY), Some(Grouping::Hour)),
    ] {
        unasked(trial, &trial.meter(), of, by.unwrap_or(Grouping::Whole), case);
    }
    // The grain itself is fine enough.
    let grain = Window { start, end: moved(promise.grain_micros) };
    let empty = trial.subject.totals(&[], None);
    let (found, _) = answered(trial, grain, Grouping::Whole, &[empty]);
    trial.holds(found.is_ok(), found);
}

pub(super) fn unknown_total(trial: &Trial) {
    let stranger = ProviderMeter::new("a meter of somebody else's").unwrap();
    unasked(trial, &stranger, first_hours(), Grouping::Whole, "an unknown meter");
}

pub(super) fn another_total(trial: &Trial) {
    let mut pages = trial.subject.other_totals();
    for (case, body) in [("no JSON", "<html>"), ("an empty object", "{}"), ("nothing", "")] {
        pages.push((case, http("200 OK", "", body)));
    }
    let after = trial.subject.totals(&[(hour(4), "1")], None);
    pages.push(("behind the span", after));
    pages.push(("before the span", trial.subject.totals(&[(hour(-1), "1")], None)));
    pages.push(("no number", trial.subject.totals(&[(hour(1), "\"many\"")], None)));
    for (case, page) in pages {
        let (found, _) = answered(trial, first_hours(), Grouping::Hour, &[page]);
        let proves_nothing =
            |answer: &Answer| matches!(answer.outcome, Outcome::Unknown | Outcome::WrongAccount);
        trial.holds(found.as_ref().is_err_and(proves_nothing), (case, found));
    }
    // What fails later is no total either.
    let more = trial.subject.totals(&[(hour(3), "1")], Some(1));
    for (answer, outcome) in [
        (trial.subject.limited("Retry-After: 7\r\n"), Outcome::RateLimited),
        (http("500 Internal Server Error", "", ""), Outcome::Failed),
        (trial.subject.error("401 Unauthorized", "", "No."), Outcome::Unauthorized),
    ] {
        let exchange = [more.clone(), answer];
        let (found, _) = answered(trial, first_hours(), Grouping::Hour, &exchange);
        let told = found.as_ref().is_err_and(|answer| answer.outcome == outcome);
        trial.holds(told, (outcome, found));
    }
}

pub(super) fn end(trial: &Trial) {
    let hours = span(MIDNIGHT, MIDNIGHT + 90 * HOUR);
    // Each page goes on to another one.
    let page = |number: usize| {
        let at = i64::try_from(number % 90).unwrap();
        trial.subject.totals(&[(hour(at), "1")], Some(number + 1))
    };
    let pages: Vec<Vec<u8>> = (0..PATIENCE_CALLS).map(page).collect();
    let (found, record) = answered(trial, hours, Grouping::Hour, &pages);
    let given_up = found.as_ref().is_err_and(|answer| answer.outcome == Outcome::Unknown);
    trial.holds(given_up, found);
    trial.holds(record.requests.len() < PATIENCE_CALLS, record.requests.len());
    // Each page goes on to itself.
    let same = trial.subject.totals(&[(hour(1), "1")], Some(1));
    let (found, record) = answered(trial, hours, Grouping::Hour, &vec![same; 10]);
    let given_up = found.as_ref().is_err_and(|answer| answer.outcome == Outcome::Unknown);
    trial.holds(given_up && record.requests.len() <= 2, (found, record.requests.len()));
}

pub(super) fn counted(trial: &Trial) {
    let pages: Vec<Vec<u8>> = (0..3)
        .map(|number: usize| {
            let row = (hour(i64::try_from(number).unwrap()), "1");
            trial.subject.totals(&[row], (number < 2).then_some(number + 1))
        })
        .collect();
    let (found, record) = answered(trial, first_hours(), Grouping::Hour, &pages);
    let found = found.unwrap();
    trial.holds(found.calls == 3 && record.requests.len() == 3, (found.calls, &record));
    trial.holds(found.provider_at == told_time(), found.provider_at);
    if trial.idle().billing.is_none() {
        return;
    }
    let id = tallyd::domain::names::SubscriptionId::new("sub_1").unwrap();
    let first = trial.subject.wrapped("subscription", trial.subject.subscription("sub_1"));
    let exchange = [vec![first], trial.subject.after_subscription()].concat();
    let (found, record) =
        trial.asked(&exchange, async |made: &Made| made.billing().subscription(&id).await);
    let found = found.unwrap();
    let counted = usize::try_from(found.calls).unwrap() == record.requests.len();
    trial.holds(counted && found.provider_at == told_time(), (found, record));
}
