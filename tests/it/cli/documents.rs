//! `tallyd invoice-usages`: a PDF of what an invoice bills, from the stand-in for Chargebee.

use std::time::Duration;

use super::{Place, Ran};
use crate::support::chargebee::{MONTH, Running, START, start_with, usage};

/// The key, which must not be seen again.
const KEY: &str = "test_canary_of_documents";

/// A site with an invoice of two usages, and the invoice's id.
async fn site_with_invoice(downloads_valid: Duration) -> (Running, String) {
    let site = start_with(|site| site.downloads_valid = downloads_valid).await;
    site.accept(&usage("first", "1.5", START)).await;
    site.accept(&usage("second", "2", START + 1)).await;
    site.go_to(START + MONTH);
    let list = site.get("/invoices", &[]).await;
    let id = list["list"][0]["invoice"]["id"].as_str().expect("an id").to_owned();
    (site, id)
}

/// The table of a site at this address, and a route that leads there.
fn table(name: &str, url: &str) -> String {
    format!(
        "[chargebee.{name}]\nkey = {{ env = \"CHARGEBEE_KEY\" }}\nsite = \"tallyd-test\"\n\
         api = \"{url}/api/v2\"\n[chargebee.{name}.item_price.calls]\naggregation = \"sum\"\n\
         [route.{name}]\nmeter = \"{name}\"\nto = \"chargebee.{name}\"\nevent = \"calls\"\n"
    )
}

/// A Stripe account that is never asked.
const STRIPE: &str = "[stripe.main]\nkey = { env = \"STRIPE_KEY\" }\n\
    [route.tokens]\nmeter = \"tokens\"\nto = \"stripe.main\"\n";

fn place(config: &str) -> Place {
    let place = Place::new();
    place.put("tallyd.toml", config);
    place
}

/// Runs the command while the stand-in answers from this very runtime.
async fn run(place: &Place, line: &str) -> Ran {
    let mut command = place.command(line);
    command.env("CHARGEBEE_KEY", KEY).env("STRIPE_KEY", "sk_test_canary");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let ran = Ran::of(output);
    assert!(!ran.whole().contains("canary"), "{ran:?}");
    ran
}

fn names(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.0.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "tallyd.toml").collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_usages_of_an_invoice_are_put_into_a_file_that_was_not_there() {
    let (site, id) = site_with_invoice(Duration::from_secs(60)).await;
    let place = place(&format!("{STRIPE}{}", table("main", &site.url)));
    let line = format!("invoice-usages {id} --pdf usages.pdf");
    let ran = run(&place, &line).await;
    let pdf = std::fs::read_to_string(place.path("usages.pdf")).unwrap();
    let said = format!(
        "exit 0\nusages.pdf: the usages of the invoice {id} at chargebee.main, {} bytes\n",
        pdf.len()
    );
    assert_eq!(ran.whole(), said);
    assert!(pdf.starts_with("%PDF-1.4\n") && pdf.ends_with("%%EOF\n"), "{pdf}");
    assert!(pdf.contains("1.5  first") && pdf.contains("(total 3.5)"), "{pdf}");
    assert_eq!(names(&place), ["usages.pdf"], "nothing is left beside it");
    // What is there is never overwritten, and nobody is asked.
    let seen = site.handle.statistics();
    let again = run(&place, &line).await;
    let said = "exit 1\n--- stderr\ntallyd: usages.pdf is there already, and is not overwritten\n";
    assert_eq!(again.whole(), said);
    assert_eq!(std::fs::read_to_string(place.path("usages.pdf")).unwrap(), pdf);
    assert_eq!(site.handle.statistics().requests, seen.requests);
    std::fs::create_dir(place.path("pdfs")).unwrap();
    let line = format!("invoice-usages {id} --pdf pdfs/a.pdf --provider chargebee.main");
    assert_eq!(run(&place, &line).await.code, 0);
    assert!(place.path("pdfs/a.pdf").exists());
    let nowhere = run(&place, &format!("invoice-usages {id} --pdf nowhere/a.pdf")).await;
    let begins = "exit 1\n--- stderr\ntallyd: nowhere/a.pdf cannot be written: ";
    assert!(nowhere.whole().starts_with(begins), "{}", nowhere.whole());
}

#[tokio::test]
async fn what_cannot_be_had_is_said_and_leaves_no_file() {
    let (site, id) = site_with_invoice(Duration::ZERO).await;
    let place = place(&format!("{STRIPE}{}", table("main", &site.url)));
    for (line, code, said) in [
        (
            format!("invoice-usages {id} --pdf a.pdf"),
            75,
            format!(
                "the usages of the invoice {id} at chargebee.main: the download has expired (it \
                 was valid till 2026-11-01T12:00:00Z): run the command again"
            ),
        ),
        (
            "invoice-usages 17 --pdf a.pdf".to_owned(),
            1,
            "the usages of the invoice 17 at chargebee.main: the provider has no invoice \"17\""
                .to_owned(),
        ),
        (
            format!("invoice-usages {id} --pdf a.pdf --provider stripe.main"),
            1,
            "--provider \"stripe.main\" makes no document of an invoice's usages".to_owned(),
        ),
        (
            format!("invoice-usages {id} --pdf a.pdf --provider chargebee.other"),
            1,
            "--provider \"chargebee.other\" is not configured".to_owned(),
        ),
    ] {
        let ran = run(&place, &line).await;
        assert_eq!(ran.whole(), format!("exit {code}\n--- stderr\ntallyd: {said}\n"));
        assert_eq!(names(&place), [""; 0]);
    }
    site.handle.set_usages_enabled(false);
    let off = run(&place, &format!("invoice-usages {id} --pdf a.pdf")).await;
    let said = "the provider made no document: unauthorized: Usages are not enabled for this site.";
    assert!(off.code == 1 && off.err.contains(said), "{}", off.whole());
}

#[tokio::test]
async fn the_provider_that_is_meant_is_the_only_one_or_named() {
    let (site, id) = site_with_invoice(Duration::from_secs(60)).await;
    let line = format!("invoice-usages {id} --pdf a.pdf");
    let none = run(&place(STRIPE), &line).await;
    let said = "tallyd: no configured provider makes a document of an invoice's usages\n";
    assert_eq!((none.code, none.err.as_str()), (1, said));
    let (main, other) = (table("main", &site.url), table("other", &site.url));
    let two = place(&format!("{main}{other}"));
    let several = run(&two, &line).await;
    let said = "tallyd: more than one provider can be meant: add --provider, one of \
                chargebee.main, chargebee.other\n";
    assert_eq!((several.code, several.err.as_str()), (1, said));
    let named = run(&two, &format!("{line} --provider chargebee.other")).await;
    assert!(named.code == 0 && named.out.contains(" at chargebee.other, "), "{}", named.whole());
}

#[tokio::test]
async fn a_site_that_does_not_answer_is_asked_again_later() {
    let nobody = place(&table("main", "http://127.0.0.1:9"));
    let ran = run(&nobody, "invoice-usages 17 --pdf a.pdf").await;
    assert!(ran.code == 75 && ran.err.contains("made no document: not_sent: "), "{}", ran.whole());
    assert_eq!(names(&nobody), [""; 0]);
}
