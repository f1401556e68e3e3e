//! PDFs of usages: what is in one, who gets it, and until when.

use serde_json::Value;

use crate::support::chargebee::{MONTH, Running, START, code, start, usage};
use crate::support::openapi;
use crate::support::stripe::{client, pairs};

const PDF: &str = "/usages/pdf";

/// The id of the only invoice.
async fn only_invoice(site: &Running) -> String {
    let list = site.get("/invoices", &[]).await;
    assert_eq!(list["list"].as_array().map(Vec::len), Some(1), "{list}");
    list["list"][0]["invoice"]["id"].as_str().expect("an id").to_owned()
}

/// The download of an invoice's usages, the request checked against the schemas too.
async fn download(site: &Running, invoice: &str) -> Value {
    let form = pairs(&[("invoice[id]", invoice), ("disposition_type", "attachment")]);
    openapi::chargebee().check_request("POST", PDF, &form).expect("the request fits the schema");
    let reply = site.post(PDF, &form).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.body["download"].clone()
}

/// The status and the text of what lies there.
async fn loaded(address: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = client().get(address);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("an answer");
    (response.status().as_u16(), response.text().await.expect("a text"))
}

#[tokio::test]
async fn the_usages_of_an_invoice_are_in_a_pdf_that_opens_without_a_key_for_a_time() {
    let site = start().await;
    site.accept(&usage("first (of two)", "1.5", START)).await;
    site.accept(&usage("second", "2", START + 1)).await;
    site.accept(&usage("next", "10", START + MONTH)).await;
    site.go_to(START + MONTH);
    let found = download(&site, &only_invoice(&site).await).await;
    assert_eq!(found["valid_till"], START + MONTH + 3_600);
    let address = found["download_url"].as_str().expect("an address");
    assert!(address.starts_with(&site.url), "{address}");
    let (status, text) = loaded(address, &[]).await;
    assert_eq!(status, 200);
    assert!(text.starts_with("%PDF-1.4\n") && text.ends_with("%%EOF\n"), "{text}");
    for said in ["2026-10-01T12:00:00Z", "1.5  first \\(of two\\)", "2  second", "(total 3.5)"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("next"), "{text}");
    // A client that sends its key to whoever has the files is found out.
    let (status, _) = loaded(address, &[("authorization", "Basic dGVzdF9rZXk6")]).await;
    assert_eq!(status, 400);
    assert_eq!(loaded(&address.replace(".pdf", "0.pdf"), &[]).await.0, 404);
    site.advance(3_599);
    assert_eq!(loaded(address, &[]).await.0, 200);
    site.advance(1);
    assert_eq!(loaded(address, &[]).await.0, 403);
}

#[tokio::test]
async fn an_invoice_without_usages_has_a_pdf_that_says_so() {
    let site = start().await;
    site.go_to(START + MONTH);
    let found = download(&site, &only_invoice(&site).await).await;
    let (_, text) = loaded(found["download_url"].as_str().expect("an address"), &[]).await;
    assert!(text.contains("(There are none.)"), "{text}");
}

#[tokio::test]
async fn what_is_no_invoice_or_not_asked_for_as_it_must_be_has_none() {
    let site = start().await;
    let long = "x".repeat(51);
    for (form, status, said) in [
        (vec![("invoice[id]", "17")], 404, "resource_not_found"),
        (vec![], 400, "param_wrong_value"),
        (vec![("invoice[id]", "")], 400, "param_wrong_value"),
        (vec![("invoice[id]", &long)], 400, "param_wrong_value"),
        (vec![("invoice[id]", "17"), ("disposition_type", "paper")], 400, "param_wrong_value"),
        (vec![("invoice[id]", "17"), ("more", "1")], 400, "invalid_request"),
    ] {
        let reply = site.post(PDF, &pairs(&form)).await;
        assert_eq!((reply.status, code(&reply)), (status, said), "{form:?}");
    }
    assert_eq!(site.try_get(PDF, &[]).await.status, 405);
    site.handle.set_usages_enabled(false);
    let off = site.post(PDF, &pairs(&[("invoice[id]", "17")])).await;
    assert_eq!((off.status, code(&off)), (400, "configuration_incompatible"));
}
