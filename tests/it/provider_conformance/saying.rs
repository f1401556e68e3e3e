//! What a room lets out: into logs, errors, answers, and to whom it sends its key. Here: the MUSTs
//! of secrets and payloads. Never here: what an answer means. Read next: [`super::totalling`].

use std::sync::{Arc, Mutex};

use tallyd::domain::answer::{Answer, MESSAGE_BYTES_MAX};

use super::subject::{Access, CANARY, Made, Trial, calls, http, run};
use crate::support::raw_server::{RawServer, Step};

/// Everything that is logged, as text.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What `work` says, and what is logged meanwhile.
fn overheard(work: impl FnOnce() -> String) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let said = tracing::subscriber::with_default(subscriber, work);
    let logged = log.0.lock().unwrap().clone();
    format!("{said}\n{}", String::from_utf8_lossy(&logged))
}

/// What an attempt of each kind, a reading and first contact say that are all answered so.
fn told(trial: &Trial, script: &[Step]) -> String {
    let mut told = String::new();
    for telling in trial.subject.tellings() {
        let server = trial.serve(vec![script.to_vec(), script.to_vec()]);
        let made = trial.made(&Access::to(&server.url()));
        let answer = run(trial.send(made.provider.as_ref(), &telling, "key-1"));
        told += &format!("{} {answer:?}\n", made.shown);
        server.finish();
    }
    // What is opened for attempts is no secret of first contact's, which never bears it.
    if trial.subject.opening().is_some() {
        return told;
    }
    let server = RawServer::start(vec![script.to_vec()]);
    let made = trial.made(&Access::to(&server.url()));
    told += &format!("{:?}\n", run(made.provider.contact()));
    server.finish();
    told
}

pub(super) fn secret(trial: &Trial) {
    let quoted = trial.subject.quoted_key();
    let line = trial.subject.key_line().unwrap_or_else(|| quoted.clone());
    let written = line.rsplit(' ').next().unwrap();
    let message = format!("Invalid key provided: {CANARY} {line}");
    let said = overheard(|| {
        let mut said = String::new();
        for answer in [
            trial.subject.error("401 Unauthorized", "", &quoted),
            trial.subject.error("400 Bad Request", "", &quoted),
            trial.subject.error("503 Service Unavailable", "", &quoted),
            http("503 Service Unavailable", "", &message),
            http("200 OK", "", &message),
            message.clone().into_bytes(),
        ] {
            let script = [calls(&[answer]), vec![Step::Read]].concat();
            said += &told(trial, &script);
        }
        said += &told(trial, &[Step::Read]);
        said
    });
    // Of an address that is wrong, and of a key that is.
    let mut said = said;
    for host in ["https://provider.invalid?x", "nowhere", &format!("https://u:{CANARY}@a.invalid")]
    {
        for live in [false, true] {
            let access = Access { live, ..Access::to(host) };
            said += &error_of(trial.subject.make(&access));
            if !host.contains(CANARY) {
                said += &trial.subject.shown_settings(&access);
            }
        }
    }
    for secret in [CANARY, written] {
        let at = said.find(secret).map(|at| near(&said, at));
        trial.holds(at.is_none(), at);
    }
}

/// The text around a place.
fn near(text: &str, at: usize) -> String {
    let from = text.floor_char_boundary(at.saturating_sub(200));
    text[from..text.ceil_char_boundary(at + 100)].to_owned()
}

fn error_of(made: Result<Made, String>) -> String {
    made.err().unwrap_or_default()
}

pub(super) fn place_of_a_key(trial: &Trial) {
    let own = trial.subject.own_host();
    let in_clear = own.replace("https://", "http://");
    let lookalike = format!("{own}.evil.example");
    for (host, test, live) in [
        (own, true, true),
        ("http://127.0.0.1:12111", true, true),
        ("http://[::1]:12111", true, true),
        ("http://localhost:12111", true, true),
        (in_clear.as_str(), false, false),
        ("http://127.0.0.1.evil.example", false, false),
        ("ftp://127.0.0.1", false, false),
        ("https://user:word@127.0.0.1", false, false),
        ("nowhere", false, false),
        ("https://stand-in.internal.example", true, false),
        (lookalike.as_str(), true, false),
    ] {
        for (is_live, taken) in [(false, test), (true, live)] {
            let access = Access { live: is_live, ..Access::to(host) };
            let made = trial.subject.make(&access).map(|made| made.shown);
            trial.holds(made.is_ok() == taken, (host, is_live, made));
        }
    }
}

pub(super) fn payload(trial: &Trial) {
    for telling in trial.subject.tellings() {
        let said = overheard(|| {
            let mut said = String::new();
            let refused = [calls(&telling.no), vec![Step::Read]].concat();
            for script in [
                calls(std::slice::from_ref(&telling.yes)),
                refused,
                calls(&[http("200 OK", "", telling.body)]),
                calls(&[http("503 Service Unavailable", "", telling.body)]),
                calls(&[telling.body.as_bytes().to_vec()]),
                vec![Step::Read],
            ] {
                let (answer, _) = trial.attempt(&telling, script);
                said += &format!("{answer:?}\n");
            }
            said
        });
        let at = said.find(telling.body.trim()).map(|at| near(&said, at));
        trial.holds(at.is_none(), (telling.case, at));
    }
}

/// Everything that an answer says.
fn texts(answer: &Answer) -> Vec<&String> {
    [&answer.message, &answer.code, &answer.request_id].into_iter().flatten().collect()
}

pub(super) fn bounded(trial: &Trial) {
    let long = format!("line\\n\\u0007{}", "ü".repeat(5_000));
    let stranger = format!("<html>a stranger's page {}</html>", "x".repeat(5_000));
    for telling in trial.subject.tellings() {
        for exchange in [
            vec![trial.subject.error("401 Unauthorized", "", &long)],
            vec![trial.subject.error("400 Bad Request", "", &long), trial.subject.missing()],
            vec![trial.subject.error("400 Bad Request", "", &long), http("200 OK", "", "{}")],
            vec![trial.subject.error("500 Internal Server Error", "", &long)],
            vec![http("400 Bad Request", "", &stranger)],
            vec![http("500 Internal Server Error", "", &stranger)],
            vec![http("200 OK", "", &stranger)],
        ] {
            let answer = trial.answered(&telling, &exchange);
            for text in texts(&answer) {
                trial.holds(text.len() <= MESSAGE_BYTES_MAX, (text.len(), text));
                trial.holds(!text.chars().any(char::is_control), text);
                trial.holds(!text.contains("a stranger's page"), text);
            }
        }
    }
}
