//! What an answer to an attempt comes to. Here: the MUSTs of classification, over a real
//! connection. Never here: one provider's table of errors (its own `classify` tests). Read next:
//! [`super::saying`].

use tallyd::domain::answer::Outcome;
use tallyd::domain::state::HoldReason;

use super::subject::{Trial, calls, http, told_time};
use crate::support::raw_server::Step;

/// More than any room reads of an answer to an attempt, in bytes.
const FLOOD_BYTES: usize = 1024 * 1024;

pub(super) fn half_a_yes(trial: &Trial) {
    for telling in trial.subject.tellings() {
        let whole = &telling.yes;
        let text = String::from_utf8(whole.clone()).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        for missing in [1, body.len() / 2, body.len()] {
            let part = whole[..whole.len() - missing].to_vec();
            let answer = trial.answered(&telling, &[part]);
            trial.comes_to(Outcome::Unknown, "broken off", &answer);
            trial.holds(answer.status == Some(200), &answer);
        }
        let whole_body = body;
        let flood = format!("{body}{}", " ".repeat(FLOOD_BYTES));
        for (case, body) in [
            ("empty", ""),
            ("too large", flood.as_str()),
            ("no JSON", "<html>welcome</html>"),
            ("half of it", &body[..body.len() / 2]),
            ("no object", "null"),
            ("an empty object", "{}"),
            ("a list", "[]"),
        ] {
            // Where nothing more is said, that is the whole of a yes.
            if body == whole_body {
                continue;
            }
            let answer = trial.answered(&telling, &[http("200 OK", "", body)]);
            trial.comes_to(Outcome::Unknown, case, &answer);
            // Whoever it was: their clock is not the provider's.
            trial.holds(answer.provider_at.is_none(), (case, &answer));
        }
        for garbage in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/9.9 999 \r\n\r\n", "\0\0\0\0\r\n\r\n"] {
            let answer = trial.answered(&telling, &[garbage.into()]);
            trial.comes_to(Outcome::Unknown, garbage, &answer);
        }
    }
}

pub(super) fn late(trial: &Trial) {
    for telling in trial.subject.tellings() {
        let whole = &telling.yes;
        for script in [
            vec![Step::Hang],
            vec![Step::Read, Step::Hang],
            vec![Step::Read, Step::Write(whole[..30].to_vec()), Step::Hang],
            vec![Step::Read, Step::Write(whole[..whole.len() - 1].to_vec()), Step::Hang],
        ] {
            let answer = trial.attempt_hastily(&telling, script);
            trial.comes_to(Outcome::Unknown, telling.case, &answer);
        }
    }
}

pub(super) fn yes(trial: &Trial) {
    for telling in trial.subject.tellings() {
        let answer = trial.answered(&telling, std::slice::from_ref(&telling.yes));
        trial.comes_to(Outcome::Accepted, telling.case, &answer);
        trial.holds(answer.status == Some(200), &answer);
        trial.holds(answer.provider_at == told_time(), &answer);
    }
}

pub(super) fn another_yes(trial: &Trial) {
    for telling in trial.subject.tellings() {
        for (case, exchange) in &telling.others {
            let answer = trial.answered(&telling, exchange);
            let kept = matches!(
                answer.outcome,
                Outcome::Unknown
                    | Outcome::WrongAccount
                    | Outcome::Refused(HoldReason::IdentifierConflict)
            );
            trial.holds(kept, (telling.case, case, &answer));
        }
    }
}

pub(super) fn again(trial: &Trial) {
    for telling in trial.subject.tellings() {
        for exchange in &telling.again {
            let answer = trial.answered(&telling, exchange);
            let taken = matches!(answer.outcome, Outcome::Accepted | Outcome::Duplicate);
            trial.holds(taken, (telling.case, &answer));
        }
    }
}

pub(super) fn no(trial: &Trial) {
    for telling in trial.subject.tellings() {
        let answer = trial.answered(&telling, &telling.no);
        let refused = matches!(answer.outcome, Outcome::Refused(_));
        trial.holds(refused, (telling.case, &answer));
        trial.holds(answer.message.is_some(), (telling.case, &answer));
    }
}

pub(super) fn failure(trial: &Trial) {
    for telling in trial.subject.tellings() {
        for status in [
            "500 Internal Server Error",
            "502 Bad Gateway",
            "503 Service Unavailable",
            "504 Gateway Timeout",
        ] {
            let own = trial.subject.error(status, "Retry-After: 0\r\n", "It failed.");
            for body in [own, http(status, "", "<html>"), http(status, "", "")] {
                let answer = trial.answered(&telling, &[body]);
                trial.comes_to(Outcome::Failed, status, &answer);
            }
            let whole = http(status, "", &"x".repeat(100));
            let broken = trial.answered(&telling, &[whole[..whole.len() - 1].to_vec()]);
            trial.comes_to(Outcome::Failed, status, &broken);
        }
    }
}

pub(super) fn stranger(trial: &Trial) {
    for telling in trial.subject.tellings() {
        for status in [
            "202 Accepted",
            "204 No Content",
            "400 Bad Request",
            "401 Unauthorized",
            "403 Forbidden",
            "404 Not Found",
            "407 Proxy Authentication Required",
            "409 Conflict",
            "413 Content Too Large",
            "422 Unprocessable Content",
            "429 Too Many Requests",
        ] {
            for body in ["<html>a proxy</html>", "{\"error\":\"no\"}", "{}", "null"] {
                let body = if status.starts_with("204") { "" } else { body };
                let answer = trial.answered(&telling, &[http(status, "", body)]);
                trial.comes_to(Outcome::Unknown, status, &answer);
                trial.holds(answer.provider_at.is_none(), (status, &answer));
            }
        }
    }
}

pub(super) fn limit(trial: &Trial) {
    for telling in trial.subject.tellings() {
        for (headers, wait) in [
            ("Retry-After: 7\r\n", Some(7)),
            ("Retry-After: Fri, 20 Nov 2026 10:01:30 GMT\r\n", Some(90)),
            ("", None),
            ("Retry-After: soon\r\n", None),
        ] {
            let limited = trial.subject.limited(headers);
            let script = [calls(&[limited]), vec![Step::Read]].concat();
            let (answer, record) = trial.attempt(&telling, script);
            trial.comes_to(Outcome::RateLimited, headers, &answer);
            trial.holds(answer.retry_after_seconds == wait, (headers, &answer));
            trial.holds(record.requests.len() == 1, (headers, record));
        }
    }
}

pub(super) fn key(trial: &Trial) {
    for telling in trial.subject.tellings() {
        for status in ["401 Unauthorized", "403 Forbidden"] {
            let answer = trial.subject.error(status, "", "The key is not accepted.");
            let answer = trial.answered(&telling, &[answer]);
            trial.comes_to(Outcome::Unauthorized, status, &answer);
        }
    }
}
