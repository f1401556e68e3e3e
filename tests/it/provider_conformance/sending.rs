//! What goes over the wire, and that it goes once. Here: the MUSTs of an attempt's request. Never
//! here: what an answer means ([`super::judging`]). Read next: [`super::judging`].

use tallyd::domain::answer::{Answer, Outcome};
use tokio::net::TcpSocket;

use super::subject::{Access, Trial, calls, head_and_body, http, method, run};
use crate::support::raw_server::{RawServer, Record, Step};

/// The requests that wrote.
fn writes(record: &Record) -> usize {
    record.requests.iter().filter(|request| method(request) != "GET").count()
}

pub(super) fn one_write(trial: &Trial) {
    for telling in trial.subject.tellings() {
        let mut exchanges = vec![vec![telling.yes.clone()], telling.no.clone()];
        exchanges.extend(telling.again.iter().cloned());
        exchanges.push(vec![trial.subject.limited("Retry-After: 0\r\n")]);
        let mut exchanges: Vec<_> = exchanges.into_iter().map(|exchange| (exchange, 1)).collect();
        for status in [
            "400 Bad Request",
            "401 Unauthorized",
            "408 Request Timeout",
            "409 Conflict",
            "421 Misdirected Request",
            "425 Too Early",
            "429 Too Many Requests",
            "500 Internal Server Error",
            "503 Service Unavailable",
        ] {
            let answer = trial.subject.error(status, "Retry-After: 0\r\n", "No.");
            // What may be asked beside it is answered too.
            let goes_again = status.starts_with("401") && trial.subject.renews();
            let times = if goes_again { 2 } else { 1 };
            exchanges.push((vec![answer, trial.subject.missing()], times));
            exchanges.push((vec![http(status, "Retry-After: 0\r\n", "<html>")], 1));
        }
        for (exchange, times) in exchanges {
            let script = [calls(&exchange), vec![Step::Read]].concat();
            let (answer, record) = trial.attempt(&telling, script);
            let saw = (telling.case, answer, &record);
            trial.holds(writes(&record) == times && record.connections == times, saw);
        }
    }
}

pub(super) fn stored_bytes(trial: &Trial) {
    for telling in trial.subject.tellings() {
        let (answer, record) = trial.attempt(&telling, calls(std::slice::from_ref(&telling.yes)));
        trial.comes_to(Outcome::Accepted, telling.case, &answer);
        trial.holds(record.requests.len() == 1, (telling.case, &record));
        let (head, body) = head_and_body(&record.requests[0]);
        let expected = trial.subject.on_the_wire(telling.body);
        trial.holds(body == expected, (telling.case, &body));
        let first = format!("{} HTTP/1.1", telling.goes_to);
        trial.holds(head[0] == first, (telling.case, &head));
        let length = format!("content-length: {}", expected.len());
        let kind = format!("content-type: {}", trial.subject.content_type());
        for line in [length.as_str(), kind.as_str()] {
            trial.holds(head.iter().any(|each| each == line), (telling.case, line, &head));
        }
        if let Some(line) = trial.subject.key_line() {
            trial.holds(head.contains(&line), (telling.case, &head));
        }
    }
}

pub(super) fn stored_key(trial: &Trial) {
    for telling in trial.subject.tellings() {
        let failed = trial.subject.error("503 Service Unavailable", "", "Later.");
        let script = calls(&[failed, telling.yes.clone(), telling.yes.clone()]);
        let server = RawServer::start(vec![script]);
        let made = trial.made(&Access::to(&server.url()));
        run(async {
            for key in ["key-1", "key-1", "key-2"] {
                trial.send(made.provider.as_ref(), &telling, key).await;
            }
        });
        let record = server.finish();
        let name = format!("{}: ", trial.subject.idempotency_header());
        let key = |request: &Vec<u8>| {
            let (head, _) = head_and_body(request);
            let found = head.iter().filter_map(|line| line.strip_prefix(&name));
            found.map(str::to_owned).collect::<Vec<_>>().join(" and ")
        };
        let keys: Vec<String> = record.requests.iter().map(key).collect();
        trial.holds(keys == ["key-1", "key-1", "key-2"], (telling.case, keys));
    }
}

pub(super) fn redirect(trial: &Trial) {
    let target = RawServer::start(vec![]);
    for telling in trial.subject.tellings() {
        for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"] {
            let location = format!("Location: {}/elsewhere\r\n", target.url());
            for body in ["", "<html>moved</html>"] {
                let answer = trial.answered(&telling, &[http(status, &location, body)]);
                trial.comes_to(Outcome::Unknown, status, &answer);
            }
            let own = trial.subject.error(status, &location, "Moved.");
            let answer = trial.answered(&telling, &[own]);
            trial.comes_to(Outcome::Unknown, status, &answer);
        }
    }
    let record = target.finish();
    trial.holds(record.connections == 0, record);
}

pub(super) fn not_sent(trial: &Trial) {
    for telling in &trial.subject.tellings() {
        let attempt = |access: &Access, key: &str| -> Answer {
            run(trial.send(trial.made(access).provider.as_ref(), telling, key))
        };
        let refused = run(async {
            // Bound and not listening: nobody else gets the port, and connections are refused.
            let deaf = TcpSocket::new_v4().unwrap();
            deaf.bind(([127, 0, 0, 1], 0).into()).unwrap();
            let made = trial.made(&Access::to(&format!("http://{}", deaf.local_addr().unwrap())));
            trial.send(made.provider.as_ref(), telling, "key-1").await
        });
        trial.comes_to(Outcome::NotSent, "refused", &refused);
        let nowhere = attempt(&Access::to("https://provider.invalid"), "key-1");
        trial.comes_to(Outcome::NotSent, "no such name", &nowhere);
        for (script, access, case) in [
            (vec![Step::Write(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())], 0, "no TLS"),
            (vec![], 0, "closed in the handshake"),
            (vec![Step::Hang], 1, "silent in the handshake"),
        ] {
            let server = RawServer::start(vec![script]);
            let host = format!("https://{}", server.address());
            let access = if access == 1 { Access::hasty(&host) } else { Access::to(&host) };
            trial.comes_to(Outcome::NotSent, case, &attempt(&access, "key-1"));
            let record = server.finish();
            trial.holds(record.connections == 1, (case, record));
        }
        if trial.subject.lacks().iter().any(|(must, _)| *must == "stored key") {
            continue;
        }
        let server = RawServer::start(vec![]);
        let odd = attempt(&Access::to(&server.url()), "no\nkey");
        trial.comes_to(Outcome::NotSent, "a key that is no header", &odd);
        let record = server.finish();
        trial.holds(record.connections == 0, record);
    }
}

pub(super) fn cut(trial: &Trial) {
    for telling in trial.subject.tellings() {
        let whole = &telling.yes;
        let head_ends = whole.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        for script in [vec![], vec![Step::ReadHead], vec![Step::Read]] {
            let (answer, record) = trial.attempt(&telling, script.clone());
            trial.comes_to(Outcome::Unknown, telling.case, &answer);
            trial.holds(record.connections == 1, (script, record));
        }
        let cuts = (0..head_ends).step_by(37).chain([head_ends - 1]);
        for at in cuts {
            let script = vec![Step::Read, Step::Write(whole[..at].to_vec())];
            let (answer, record) = trial.attempt(&telling, script);
            trial.comes_to(Outcome::Unknown, telling.case, &answer);
            trial.holds(record.connections == 1, (at, record));
        }
        // Under a connection that served before, which another one could replace.
        let first = calls(std::slice::from_ref(whole));
        let begun = vec![Step::Read, Step::Write("H".into())];
        for under in [vec![Step::ReadHead], vec![Step::Read], begun] {
            let server = trial.serve(vec![[first.clone(), under].concat()]);
            let made = trial.made(&Access::to(&server.url()));
            let second = run(async {
                let provider = made.provider.as_ref();
                trial.send(provider, &telling, "key-1").await;
                trial.send(provider, &telling, "key-2").await
            });
            trial.comes_to(Outcome::Unknown, telling.case, &second);
            let record = trial.finish(server);
            trial.holds(record.connections == 1 && record.requests.len() == 2, record);
        }
    }
}
