//! Webhooks that nobody should believe: a table of them, made by rule. Each is refused by its name,
//! and none leaves a trace in the ledger.

use serde_json::{Value, json};

use super::webhooks::{MAIN, send};
use super::world::{NOW, World};
use crate::support::webhooks::{
    NEW, OLD, OTHER, mac, request, signature_line, signed, snapshot, with_signature,
};

/// A request, and how it must be refused.
struct Forgery {
    name: String,
    request: Vec<u8>,
    refused: (u16, &'static str),
}

const MALFORMED: (u16, &str) = (400, "signature_malformed");
const MISMATCH: (u16, &str) = (400, "signature_mismatch");
const NO_SCHEME: (u16, &str) = (400, "signature_no_scheme");
const STALE: (u16, &str) = (400, "signature_stale");
const AHEAD: (u16, &str) = (400, "signature_ahead");

fn body() -> Vec<u8> {
    snapshot("evt_forged", NOW.seconds()).to_string().into_bytes()
}

fn time() -> String {
    NOW.seconds().to_string()
}

/// A forgery of the header alone, over a body that was really signed.
fn by_header(
    name: impl Into<String>,
    value: impl AsRef<[u8]>,
    refused: (u16, &'static str),
) -> Forgery {
    Forgery { name: name.into(), request: with_signature(MAIN, value, &body()), refused }
}

/// Signatures that are none, or half of one.
fn signatures() -> Vec<Forgery> {
    let (time, body) = (time(), body());
    let good = mac(OLD, &time, &body);
    let mut all = Vec::new();
    for digits in 0..64 {
        let name = format!("the first {digits} digits of the signature");
        all.push(by_header(name, format!("t={time},v1={}", &good[..digits]), MALFORMED));
    }
    let near = |at: usize| {
        let digit = if good.as_bytes()[at] == b'0' { "1" } else { "0" };
        format!("{}{digit}{}", &good[..at], &good[at + 1..])
    };
    for at in [0, 1, 31, 32, 62, 63] {
        let value = format!("t={time},v1={}", near(at));
        all.push(by_header(format!("digit {at} is another"), value, MISMATCH));
    }
    for (name, signature) in [
        ("a digit more", format!("{good}0")),
        ("twice over", good.repeat(2)),
        ("in capitals", good.to_uppercase()),
        ("no digits", "z".repeat(64)),
        ("digits of another script", "٠".repeat(32)),
        ("a blank before", format!(" {good}")),
        ("a blank behind", format!("{good} ;")),
        ("in quotes", format!("\"{good}\"")),
        ("with 0x", format!("0x{good}")),
        ("as base64", "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=".to_owned()),
    ] {
        all.push(by_header(name, format!("t={time},v1={signature}"), MALFORMED));
    }
    all.push(by_header("all zeros", format!("t={time},v1={}", "0".repeat(64)), MISMATCH));
    all
}

/// Headers without the header's form, around a signature that is good.
fn headers() -> Vec<Forgery> {
    let (time, body) = (time(), body());
    let good = format!("v1={}", mac(OLD, &time, &body));
    let line = signature_line(format!("t={time},{good}"));
    let whole = |name: &str, lines: &[u8], code| Forgery {
        name: name.to_owned(),
        request: request(MAIN, lines, &body),
        refused: (400, code),
    };
    let mut all = vec![
        whole("no header", b"", "signature_missing"),
        whole("the header twice", &line.repeat(2), "signature_repeated"),
        whole("another header", b"Signature: t=1,v1=00\r\n", "signature_missing"),
        whole("a bearer token", b"Authorization: Bearer one\r\n", "signature_missing"),
    ];
    for (name, value, refused) in [
        ("nothing", String::new(), MALFORMED),
        ("no time", good.clone(), MALFORMED),
        ("no signature", format!("t={time}"), NO_SCHEME),
        ("only v0", format!("t={time},v0={}", &good[3..]), NO_SCHEME),
        ("only v2", format!("t={time},v2={}", &good[3..]), NO_SCHEME),
        ("V1", format!("t={time},V1={}", &good[3..]), NO_SCHEME),
        ("a blank before v1", format!("t={time}, {good}"), NO_SCHEME),
        ("a blank before t", format!("x=1, t={time},{good}"), MALFORMED),
        ("the time twice", format!("t={time},t={time},{good}"), MALFORMED),
        ("two times", format!("t=1,{good},t={time}"), MALFORMED),
        ("a semicolon", format!("t={time};{good}"), MALFORMED),
        ("no equals sign", format!("t={time},{}", good.replace('=', ":")), MALFORMED),
        ("two equals signs", format!("t={time},{}", good.replace('=', "==")), MALFORMED),
        ("a comma at the end", format!("t={time},{good},"), MALFORMED),
        ("a comma at the start", format!(",t={time},{good}"), MALFORMED),
        ("two commas", format!("t={time},,{good}"), MALFORMED),
        ("JSON", format!("{{\"t\":{time},\"v1\":\"{good}\"}}"), MALFORMED),
        (
            "nine signatures",
            format!("t={time}{}", format!(",{good}").repeat(9)),
            (400, "signature_too_many"),
        ),
        (
            "a thousand signatures",
            format!("t={time}{}", format!(",{good}").repeat(800)),
            (400, "signature_too_long"),
        ),
        (
            "a long header",
            format!("t={time},{good},x={}", "0".repeat(4_096)),
            (400, "signature_too_long"),
        ),
    ] {
        all.push(by_header(name, value, refused));
    }
    all.push(by_header("bytes that are no text", b"t=\xff\xfe,v1=\x80", MALFORMED));
    all
}

/// Times that are none, or are not now. Each is signed as it is written.
fn times() -> Vec<Forgery> {
    let now = NOW.seconds();
    let mut all = Vec::new();
    let written = [
        (String::new(), MALFORMED),
        ("-1".to_owned(), MALFORMED),
        (format!("+{now}"), MALFORMED),
        (format!(" {now}"), MALFORMED),
        (format!("{now}.0"), MALFORMED),
        ("1e9".to_owned(), MALFORMED),
        ("0x6983c500".to_owned(), MALFORMED),
        (i64::MAX.to_string(), MALFORMED),
        (i64::MIN.to_string(), MALFORMED),
        (format!("000{now}"), MALFORMED),
        (format!("{now}000"), MALFORMED),
        ("2026-02-02T02:40:00Z".to_owned(), MALFORMED),
        ("0".to_owned(), STALE),
        ("1000000000".to_owned(), STALE),
        ((now - 301).to_string(), STALE),
        ((now - 86_400).to_string(), STALE),
        ((now + 301).to_string(), AHEAD),
        ("999999999999".to_owned(), AHEAD),
    ];
    for (text, refused) in written {
        let value = format!("t={text},v1={}", mac(OLD, &text, &body()));
        all.push(by_header(format!("the time {text:?}"), value, refused));
    }
    // A time that would do, in place of the one that was signed.
    for signed in [now - 400, now - 1, now + 1] {
        let value = format!("t={now},v1={}", mac(OLD, &signed.to_string(), &body()));
        all.push(by_header(format!("signed {} s before", now - signed), value, MISMATCH));
    }
    let value = format!("t=0{now},v1={}", mac(OLD, &time(), &body()));
    all.push(by_header("a zero before the time that was signed", value, MISMATCH));
    all
}

/// Secrets that are not the endpoint's, and endpoints that are not the secret's.
fn secrets() -> Vec<Forgery> {
    let (time, body) = (time(), body());
    let mut all = Vec::new();
    let reversed: String = OLD.chars().rev().collect();
    for (name, secret) in [
        ("no secret", String::new()),
        ("the prefix alone", OLD[..6].to_owned()),
        ("the secret without its prefix", OLD[6..].to_owned()),
        ("the secret of another endpoint", OTHER.to_owned()),
        ("the secret with a line end", format!("{OLD}\n")),
        ("the secret in capitals", OLD.to_uppercase()),
        ("the secret backwards", reversed),
        ("both secrets in a row", format!("{OLD}{NEW}")),
        ("the account's key", "sk_test_webhooks".to_owned()),
        ("a usage token", "one".to_owned()),
    ] {
        let value = format!("t={time},v1={}", mac(&secret, &time, &body));
        all.push(by_header(name, value, MISMATCH));
    }
    let signature = signed(&[OLD, NEW], NOW.seconds(), &body);
    let unknown = (404, "unknown_webhook");
    for (path, refused) in [
        ("/webhooks/stripe.eu", MISMATCH),
        ("/webhooks/stripe.deaf", unknown),
        ("/webhooks/stripe.other", unknown),
        ("/webhooks/stripe", unknown),
        ("/webhooks/STRIPE.MAIN", unknown),
        ("/webhooks/stripe.main%20", unknown),
        ("/webhooks/%ff", unknown),
        ("/webhooks/..%2fstripe.main", unknown),
        ("/webhooks/", (404, "not_found")),
        ("/webhooks/stripe.main/", (404, "not_found")),
        ("/webhooks", (404, "not_found")),
    ] {
        let request = with_signature(path, &signature, &body);
        all.push(Forgery { name: format!("sent to {path}"), request, refused });
    }
    all
}

/// Bodies that are not the one that was signed.
fn bodies() -> Vec<Forgery> {
    let body = body();
    let signature = signed(&[OLD, NEW], NOW.seconds(), &body);
    let event: Value = serde_json::from_slice(&body).unwrap();
    let mut changed: Vec<(String, Vec<u8>)> = Vec::new();
    for at in (0..body.len()).step_by(body.len() / 12) {
        let mut flipped = body.clone();
        flipped[at] ^= 1;
        changed.push((format!("byte {at} is another"), flipped));
        changed.push((format!("cut after {at} bytes"), body[..at].to_vec()));
    }
    let live = String::from_utf8(body.clone()).unwrap().replace("false", "true ");
    changed.extend([
        ("a line end more".to_owned(), [&body[..], b"\n"].concat()),
        ("a blank before".to_owned(), [b" ", &body[..]].concat()),
        ("twice over".to_owned(), body.repeat(2)),
        ("written anew".to_owned(), format!("{event:#}").into_bytes()),
        ("another event".to_owned(), snapshot("evt_2", NOW.seconds()).to_string().into_bytes()),
        ("the other mode".to_owned(), live.into_bytes()),
        ("zeros".to_owned(), vec![0; body.len()]),
    ]);
    let forgery = |(name, body): (String, Vec<u8>)| Forgery {
        name,
        request: with_signature(MAIN, &signature, &body),
        refused: MISMATCH,
    };
    let mut all: Vec<Forgery> = changed.into_iter().map(forgery).collect();
    let lines = [&signature_line(&signature)[..], b"Content-Encoding: gzip\r\n"].concat();
    all.push(Forgery {
        name: "compressed".to_owned(),
        request: request(MAIN, &lines, &body),
        refused: (415, "unsupported_encoding"),
    });
    all.push(Forgery {
        name: "asked for instead of sent".to_owned(),
        request: format!("GET {MAIN} HTTP/1.1\r\nHost: t\r\n\r\n").into_bytes(),
        refused: (405, "method_not_allowed"),
    });
    all
}

/// What is signed as it should be, and is no event of this account's mode.
fn unreadable() -> Vec<Forgery> {
    let event = |pointer: &str, value: Value| {
        let mut event = snapshot("evt_forged", NOW.seconds());
        *event.pointer_mut(pointer).unwrap() = value;
        event.to_string().into_bytes()
    };
    let malformed = "malformed_notice";
    [
        ("nothing", Vec::new(), malformed),
        ("no UTF-8", b"\xff".to_vec(), malformed),
        ("no JSON", b"{\"id\":".to_vec(), malformed),
        ("no object", b"[]".to_vec(), malformed),
        ("an empty object", b"{}".to_vec(), malformed),
        ("deeper than anything", "[".repeat(10_000).into_bytes(), malformed),
        ("no id", event("/id", Value::Null), malformed),
        ("an id that is a path", event("/id", json!("../evt_1")), malformed),
        ("no type", event("/type", json!(7)), malformed),
        ("no time", event("/created", json!("now")), malformed),
        ("no mode", event("/livemode", Value::Null), malformed),
        ("another kind of object", event("/object", json!("list")), malformed),
        ("the live mode", event("/livemode", json!(true)), "wrong_mode"),
    ]
    .into_iter()
    .map(|(name, body, code)| {
        let signature = signed(&[NEW], NOW.seconds(), &body);
        let request = with_signature(MAIN, signature, &body);
        Forgery { name: name.to_owned(), request, refused: (400, code) }
    })
    .collect()
}

#[tokio::test]
async fn every_forgery_is_refused_by_its_name_and_leaves_the_ledger_as_it_was() {
    let all: Vec<Forgery> = [signatures(), headers(), times(), secrets(), bodies(), unreadable()]
        .into_iter()
        .flatten()
        .collect();
    assert!(all.len() >= 150, "only {} forgeries", all.len());
    let world = World::new().await;
    let mut wrong = Vec::new();
    for Forgery { name, request, refused: (status, code) } in &all {
        let answer = send(&world, request).await;
        if answer.error() != (*status, (*code).to_owned()) {
            wrong.push(format!("{name}: {} {}", answer.status, answer.body));
        }
        assert!(!answer.body.contains("canary"), "{name}: {}", answer.body);
    }
    assert_eq!(wrong, [""; 0], "of {}", all.len());
    assert_eq!(*world.ledger.notices.lock().unwrap(), []);
    assert_eq!(*world.ledger.calls.borrow(), 0);
    // The body that all of them used is good, had it been signed.
    let signature = signed(&[OLD], NOW.seconds(), &body());
    assert_eq!(send(&world, &with_signature(MAIN, signature, &body())).await.status, 200);
    world.end().await;
}
