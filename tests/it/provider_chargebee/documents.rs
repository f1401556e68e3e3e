//! Documents at the edge of Chargebee's room: what goes to the site, what goes to whoever has the
//! file, and what is believed of either. The servers here are raw. Read next: `super`.

use tallyd::domain::names::InvoiceId;
use tallyd::provider::documents::{NoDocument, UsageDocuments as _};
use tallyd::provider::wire::check_download;

use super::chargebee_at;
use crate::support::raw_server::{RawServer, Record, Step};

/// What the address of a file is signed with: whoever has it may load the file.
const SIGNATURE: &str = "canary%2FSignature";
const PDF: &str = "%PDF-1.4\n1 0 obj\n<< >>\nendobj\n%%EOF\n";

fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\n{headers}");
    format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn offer(address: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"download":{{"download_url":"{address}","valid_till":1795172400,
        "mime_type":"application/pdf","object":"download"}}}}"#
    );
    http("200 OK", "", &body)
}

/// What comes of asking a site that answers so.
async fn asked(answer: Vec<u8>) -> (Result<Vec<u8>, NoDocument>, Record) {
    let site = RawServer::start(vec![vec![Step::Read, Step::Write(answer)]]);
    let invoice = InvoiceId::new("draft_inv_1").unwrap();
    let found = chargebee_at(&site.url()).usage_pdf(&invoice).await;
    if let Err(error) = &found {
        let said = format!("{error} {error:?}");
        assert!(!said.contains("canary"), "{said}");
    }
    (found, site.finish())
}

/// What comes of a download whose host follows `script`.
async fn loaded(script: Vec<Step>) -> (Result<Vec<u8>, NoDocument>, Record) {
    let host = RawServer::start(vec![script]);
    let address = format!("{}/a%20file.pdf?sign={SIGNATURE}", host.url());
    let (found, _) = asked(offer(&address)).await;
    (found, host.finish())
}

fn head_and_body(request: &[u8]) -> (String, String) {
    let text = String::from_utf8(request.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn the_site_is_asked_with_the_key_and_the_host_of_the_file_without() {
    let host = RawServer::start(vec![vec![Step::Read, Step::Write(http("200 OK", "", PDF))]]);
    let address = format!("{}/a%20file.pdf?sign={SIGNATURE}", host.url());
    let (found, to_site) = asked(offer(&address)).await;
    assert_eq!(found.unwrap(), PDF.as_bytes());
    assert_eq!(to_site.requests.len(), 1);
    let (head, body) = head_and_body(&to_site.requests[0]);
    assert!(head.starts_with("post /api/v2/usages/pdf http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: basic "), "{head}");
    assert_eq!(body, "invoice%5Bid%5D=draft_inv_1&disposition_type=attachment");
    let to_host = host.finish();
    assert_eq!(to_host.requests.len(), 1);
    let text = String::from_utf8(to_host.requests[0].clone()).unwrap();
    let first = format!("GET /a%20file.pdf?sign={SIGNATURE} HTTP/1.1\r\n");
    assert!(text.starts_with(&first), "{text}");
    let (head, body) = head_and_body(&to_host.requests[0]);
    for name in ["authorization", "cookie", "referer", "chargebee-idempotency-key"] {
        assert!(!head.contains(&format!("\r\n{name}:")), "{head}");
    }
    assert_eq!(body, "");
}

#[tokio::test]
async fn what_is_no_whole_pdf_is_none_and_nothing_is_followed() {
    let elsewhere = RawServer::start(vec![]);
    let answered = |answer: Vec<u8>| loaded(vec![Step::Read, Step::Write(answer)]);
    let location = format!("Location: {}/?sign={SIGNATURE}\r\n", elsewhere.url());
    let (found, record) = answered(http("302 Found", &location, "")).await;
    let why = "the document was not downloaded: answered 302, a redirect, which is never followed";
    assert_eq!(found.unwrap_err().to_string(), why);
    assert_eq!(record.requests.len(), 1);
    let (found, _) = answered(http("200 OK", "", "<html>welcome</html>")).await;
    assert_eq!(found, Err(NoDocument::NotPdf));
    let whole = http("200 OK", "", PDF);
    let (found, _) = answered(whole[..whole.len() - 1].to_vec()).await;
    assert!(matches!(found, Err(NoDocument::NotLoaded(_))), "{found:?}");
    let flood = http("200 OK", "", &format!("{PDF}{}", " ".repeat(17 * 1024 * 1024)));
    let (found, _) = answered(flood).await;
    assert!(found.unwrap_err().to_string().contains("longer than 16777216 bytes"));
    let (found, record) = answered(http("403 Forbidden", "", "<Error>expired</Error>")).await;
    let why = "the download has expired (answered 403): run the command again";
    assert_eq!(found.unwrap_err().to_string(), why);
    assert_eq!(record.requests.len(), 1, "it is not asked for again by itself");
    let (found, record) = loaded(vec![Step::Read]).await;
    assert!(matches!(found, Err(NoDocument::NotLoaded(_))), "{found:?}");
    assert_eq!(record.connections, 1);
    assert_eq!(elsewhere.finish().connections, 0);
}

#[tokio::test]
async fn a_site_that_offers_nothing_is_told_as_what_it_said() {
    let error = |status: &str, headers: &str, code: &str| {
        let body = format!(r#"{{"message":"No.","type":"x","api_error_code":"{code}"}}"#);
        http(status, headers, &body)
    };
    for (answer, said, may_pass) in [
        (
            error("404 Not Found", "", "resource_not_found"),
            "the provider has no invoice \"draft_inv_1\"",
            false,
        ),
        (error("400 Bad Request", "", "invalid_request"), "refused: No.", false),
        (error("401 Unauthorized", "", "api_authentication_failed"), "unauthorized: No.", false),
        (
            error("429 Too Many Requests", "Retry-After: 7\r\n", "api_request_limit_exceeded"),
            "rate_limited: No.; it asks to wait 7 s",
            true,
        ),
        (http("503 Service Unavailable", "", "<html>"), "failed: answered 503", true),
        (http("302 Found", "Location: /\r\n", ""), "unknown: answered 302", true),
        (http("200 OK", "", "<html>canary</html>"), "the body has not the form of one", false),
        (offer("http://files.example/canary"), "its address does not begin with https://", false),
        (offer("nowhere"), "its address is none", false),
        (offer("https://canary:b@files.example/"), "its address holds a name or password", false),
    ] {
        let (found, record) = asked(answer).await;
        let error = found.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!((error.may_pass(), record.requests.len()), (may_pass, 1), "{error}");
    }
}

#[test]
fn only_a_site_on_this_host_leads_to_this_host_or_into_the_clear() {
    let (site, stand_in) = ("https://acme.chargebee.com/api/v2", "http://127.0.0.1:8486/api/v2");
    for (address, of_site, of_stand_in) in [
        ("https://files.example/a?b", true, true),
        ("http://files.example/a?b", false, false),
        ("http://127.0.0.1:8486/downloads/a", false, true),
        ("https://localhost/a", false, true),
        ("http://[::1]/a", false, true),
        ("file:///etc/passwd", false, false),
        ("ftp://files.example/a", false, false),
        ("https://a:b@files.example/", false, false),
        ("", false, false),
    ] {
        assert_eq!(check_download(address, site).is_ok(), of_site, "{address}");
        assert_eq!(check_download(address, stand_in).is_ok(), of_stand_in, "{address}");
    }
}
