//! First contact. Here: the MUSTs of what it names, and of when it fails. Never here: what is
//! pinned of it (`tallyd::delivery`). Read next: [`super::noticing`].

use tallyd::domain::answer::Outcome;

use super::subject::{Made, Trial, http, told_time};

pub(super) fn contact(trial: &Trial) {
    let exchange = trial.subject.contact();
    let (found, record) = trial.asked(&exchange, async |made: &Made| made.provider.contact().await);
    trial.holds(found.is_ok(), &found);
    let contact = found.unwrap();
    let account = contact.account.account.as_deref();
    trial.holds(account == trial.subject.contact_account(), &contact);
    trial.holds(!contact.account.livemode, &contact);
    trial.holds(contact.provider_at == told_time(), &contact);
    trial.holds(contact.meters.iter().any(|pin| pin.meter == trial.meter()), &contact);
    trial.holds(record.requests.len() == exchange.len(), record);
}

pub(super) fn no_contact(trial: &Trial) {
    let unauthorized = trial.subject.error("401 Unauthorized", "", "No such key.");
    let mut cases = trial.subject.no_contact();
    for (case, answer, outcome) in [
        ("no key", unauthorized, Outcome::Unauthorized),
        ("a page of a proxy", http("403 Forbidden", "", "<html>"), Outcome::Unknown),
        ("a welcome", http("200 OK", "", "<html>welcome</html>"), Outcome::Unknown),
        ("something else", http("200 OK", "", "{}"), Outcome::Unknown),
        ("a redirect", http("302 Found", "Location: /\r\n", ""), Outcome::Unknown),
        ("a failure", http("500 Internal Server Error", "", ""), Outcome::Failed),
        ("a limit", trial.subject.limited("Retry-After: 7\r\n"), Outcome::RateLimited),
    ] {
        cases.push((case, vec![answer], outcome));
    }
    cases.push(("silence", vec![], Outcome::Unknown));
    for (case, exchange, outcome) in cases {
        let (found, _) = trial.asked(&exchange, async |made: &Made| made.provider.contact().await);
        let failed = found.as_ref().is_err_and(|answer| answer.outcome == outcome);
        trial.holds(failed, (case, found));
    }
}
