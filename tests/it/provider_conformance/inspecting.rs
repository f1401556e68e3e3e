//! Inspections. Here: the MUSTs of what is asked, and of when it ends. Never here: what is made of
//! it (`crate::lifecycle::online`). Read next: [`super::noticing`].

use std::collections::BTreeSet;

use tallyd::provider::Inspection;
use tallyd::provider::inspection::Subject as About;

use super::subject::{Made, Trial, http, method};
use crate::support::raw_server::Record;

/// More answers than any inspection of these rooms asks for.
const ANSWERS: usize = 20;

/// What an inspection comes to whose questions are all answered so.
fn inspected(trial: &Trial, answer: &[u8]) -> (Inspection, Record) {
    let exchange = vec![answer.to_vec(); ANSWERS];
    let routed = BTreeSet::from([trial.meter()]);
    trial.asked(&exchange, async |made: &Made| made.provider.inspect(&routed).await)
}

pub(super) fn read_only(trial: &Trial) {
    for status in ["403 Forbidden", "404 Not Found"] {
        let answer = trial.subject.error(status, "", "Not for you.");
        let (found, record) = inspected(trial, &answer);
        let reads = record.requests.iter().all(|request| method(request) == "GET");
        trial.holds(reads && !record.requests.is_empty(), &record);
        let calls = usize::try_from(found.calls).unwrap();
        trial.holds(calls == record.requests.len(), (found, record));
    }
}

pub(super) fn all_found(trial: &Trial) {
    let forbidden = trial.subject.error("403 Forbidden", "", "Not for you.");
    let (found, record) = inspected(trial, &forbidden);
    let of_key = found.disagreements.iter().filter(|each| each.subject == About::Key).count();
    trial.holds(of_key == record.requests.len() && of_key > 1, (&found, &record));
    trial.holds(found.unanswered.is_none() && found.reads.is_empty(), found);
}

pub(super) fn no_inspection(trial: &Trial) {
    for (case, answer) in [
        ("a failure", http("500 Internal Server Error", "", "")),
        ("a page of a proxy", http("403 Forbidden", "", "<html>")),
        ("a limit", trial.subject.limited("Retry-After: 7\r\n")),
    ] {
        let (found, record) = inspected(trial, &answer);
        trial.holds(found.unanswered.is_some() && found.account.is_none(), (case, &found));
        trial.holds(record.requests.len() == 1, (case, record));
    }
    let unauthorized = trial.subject.error("401 Unauthorized", "", "No such key.");
    let (found, record) = inspected(trial, &unauthorized);
    let of_key = found.disagreements.iter().any(|each| each.subject == About::Key);
    trial.holds(of_key && found.unanswered.is_none(), &found);
    trial.holds(record.requests.len() == 1, record);
}
