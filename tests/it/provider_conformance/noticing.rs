//! Webhooks at a room's door. Here: the MUSTs of proof, and of what a refusal says. Never here: one
//! provider's proof (`super::stripe`, `super::chargebee`). Read next: [`super::billing`].

use std::sync::Arc;

use tallyd::domain::time::Timestamp;
use tallyd::provider::{NoticeReader, NoticeRefusal, Posted};

use super::subject::{Access, CANARY, Headers, NOW, Trial};

/// A body that is no notice, and must not be quoted.
const ODD: &[u8] = b"{\"id\": \"canary4242\", \"object\": \"canary4242\", \"type\": [";

fn now() -> Timestamp {
    let at = chrono::DateTime::parse_from_rfc2822(NOW).unwrap();
    Timestamp::from_seconds(at.timestamp())
}

fn reader(trial: &Trial) -> Arc<dyn NoticeReader> {
    let access = Access { webhooks: true, ..Access::to("http://127.0.0.1:9") };
    trial.made(&access).provider.notice_reader().unwrap()
}

fn read(
    trial: &Trial,
    headers: &Headers,
    body: &[u8],
) -> Result<tallyd::domain::notice::Notice, NoticeRefusal> {
    let headers: Vec<(&str, &[u8])> =
        headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    reader(trial).read(Posted { headers: &headers, body }, now())
}

pub(super) fn no_proof(trial: &Trial) {
    trial.holds(trial.idle().provider.notice_reader().is_none(), "a reader");
}

pub(super) fn proof_first(trial: &Trial) {
    for (case, headers) in trial.subject.unproven() {
        // What is no notice at all is refused for its lack of proof all the same.
        for body in [ODD, b"", b"\xff\xfe"] {
            let refused = read(trial, &headers, body);
            let unproven = matches!(refused, Err(NoticeRefusal::Unproven { .. }));
            trial.holds(unproven, (case, refused));
        }
    }
    let refused = read(trial, &trial.subject.proof(ODD), ODD);
    let unreadable = matches!(refused, Err(NoticeRefusal::Unreadable { .. }));
    trial.holds(unreadable, ("with proof", refused));
}

pub(super) fn silence(trial: &Trial) {
    let mut refusals = vec![read(trial, &trial.subject.proof(ODD), ODD)];
    for (_, headers) in trial.subject.unproven() {
        refusals.push(read(trial, &headers, ODD));
    }
    for refused in refusals {
        let refusal = refused.unwrap_err();
        let said = format!("{refusal} {refusal:?} {}", refusal.code());
        trial.holds(!said.contains(CANARY), said);
    }
}
