//! The real binary and an account at Cryptolens, which knows no identifier and reads nothing back.

use std::collections::BTreeSet;

use tallyd::sandbox::cryptolens::{Billing as Billed, CryptolensHandle, TOKEN as LICENSE_TOKEN};
use tallyd::sandbox::faults::{FaultKind, Faults};

use super::holding::{holds, resolve};
use crate::support::daemon::{Billing, Home, Lines, TestDaemon, until, usage};

/// The config of the account that `provider` stands in for; a record is told a moment after it
/// came.
fn account_of(provider: &Billing, more: &str) -> String {
    format!(
        "[cryptolens.main]\ntoken = {{ file = \"license.token\" }}\napi = \"{}\"\n\
         products = [3349]\nrate_per_second = 100\nbackoff_first_millis = 20\n{more}\n\
         [route.pages]\nmeter = \"pages\"\nto = \"cryptolens.main\"\nevent = \"3349\"\n\
         settle = \"0s\"\n",
        provider.cryptolens_url
    )
}

/// A daemon's home beside the account that it tells.
struct Place {
    provider: Billing,
    account: CryptolensHandle,
    home: Home,
}

impl Place {
    async fn with(more: &str) -> Self {
        let provider = Billing::start().await;
        let account = provider.handle.cryptolens();
        let more = account_of(&provider, more);
        let home = Home::with(&provider.url, Lines { more: &more, ..Lines::default() });
        std::fs::write(home.path().join("license.token"), LICENSE_TOKEN).unwrap();
        Self { provider, account, home }
    }

    fn next(&self, fault: FaultKind) {
        self.account.set_faults(Faults { next: [fault].into(), ..Faults::default() }).unwrap();
    }

    /// What was recorded of the only key: how much, and how often.
    fn recorded(&self) -> (i64, u64) {
        match self.account.books().as_slice() {
            [] => (0, 0),
            [line] => (line.total, line.records),
            several => panic!("{several:?}"),
        }
    }

    async fn has_recorded(&self, total: i64, records: u64) {
        until("recording", async || match self.recorded() {
            found if found == (total, records) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    async fn holds(&self, expected: &[(&str, &str)]) -> Vec<String> {
        holds(&self.home, expected).await
    }

    async fn resolve(&self, name: &str, verdict: &str) {
        resolve(&self.home, name, verdict).await;
    }
}

async fn pages(daemon: &TestDaemon, id: &str, quantity: &str) {
    daemon.accept(&[usage(id, "CMXKC-GUQRW", "pages", quantity, 60)]).await;
}

#[tokio::test]
async fn what_a_lost_answer_leaves_unknown_is_held_to_the_unit_and_not_told_again() {
    let place = Place::with("").await;
    let daemon = place.home.start().await;
    place.next(FaultKind::AnswerLost);
    pages(&daemon, "r1", "5").await;
    let names = place.holds(&[("window_passed", "5")]).await;
    let shown = ["held", "show", &names[0], "--config", "tallyd.toml"];
    let shown = String::from_utf8(place.home.run(&shown).await.stdout).unwrap();
    assert!(shown.contains("the provider recognises nothing that it was told before"), "{shown}");
    // What comes later is told all the same, and for itself alone.
    pages(&daemon, "r2", "3").await;
    place.has_recorded(8, 2).await;
    place.resolve(&names[0], "billed").await;
    place.holds(&[]).await;
    assert_eq!(place.recorded(), (8, 2));
    daemon.stop().await;
    place.home.verify().await;
    assert!(!place.home.said().contains(LICENSE_TOKEN), "{}", place.home.said());
}

#[tokio::test]
async fn what_never_arrived_is_told_once_a_person_says_so() {
    let place = Place::with("").await;
    let daemon = place.home.start().await;
    place.next(FaultKind::ClosedBefore);
    pages(&daemon, "r1", "5").await;
    let names = place.holds(&[("window_passed", "5")]).await;
    assert_eq!(place.recorded(), (0, 0));
    place.resolve(&names[0], "not-billed").await;
    place.has_recorded(5, 1).await;
    place.holds(&[]).await;
    daemon.stop().await;
    place.home.verify().await;
}

#[tokio::test]
async fn an_operator_may_have_lost_answers_told_again_and_answer_for_the_rest() {
    let place = Place::with("on_unknown = \"resend\"").await;
    let daemon = place.home.start().await;
    place.next(FaultKind::AnswerLost);
    pages(&daemon, "r1", "5").await;
    // Billed twice: that is what was chosen, and why it is not the default.
    place.has_recorded(10, 2).await;
    place.holds(&[]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn what_was_told_too_much_is_taken_off_later_usage_and_held_until_there_is_some() {
    let place = Place::with("").await;
    let daemon = place.home.start().await;
    pages(&daemon, "r1", "5").await;
    place.has_recorded(5, 1).await;
    let cancel = ["cancel", "web/r1", "--reason", "it was a test", "--config", "tallyd.toml"];
    let cancelled = place.home.run(&cancel).await;
    assert!(cancelled.status.success(), "{cancelled:?}");
    place.holds(&[("cannot_lower", "-5")]).await;
    pages(&daemon, "r2", "7").await;
    place.has_recorded(7, 2).await;
    place.holds(&[]).await;
    daemon.stop().await;
    place.home.verify().await;
}

#[tokio::test]
async fn what_a_crash_left_in_flight_is_held_and_not_told_again() {
    let place = Place::with("").await;
    let daemon = place.home.start().await;
    place.provider.handle.hold_answers();
    pages(&daemon, "r1", "5").await;
    place.has_recorded(5, 1).await;
    daemon.kill().await;
    place.provider.handle.release_answers();
    let daemon = place.home.start().await;
    place.holds(&[("window_passed", "5")]).await;
    assert_eq!(place.recorded(), (5, 1));
    daemon.stop().await;
    place.home.verify().await;
}

#[tokio::test]
async fn a_stripe_that_takes_no_usage_records_any_more_leaves_all_of_it_held() {
    let place = Place::with("").await;
    place.account.set_billing(Billed::Meters);
    let daemon = place.home.start().await;
    pages(&daemon, "r1", "5").await;
    place.holds(&[("window_passed", "5")]).await;
    assert_eq!(place.recorded(), (0, 0));
    daemon.stop().await;
}

#[tokio::test]
async fn a_token_that_is_revoked_pauses_the_account_and_loses_nothing() {
    let place = Place::with("pause_probe_seconds = 1").await;
    let daemon = place.home.start().await;
    pages(&daemon, "r1", "5").await;
    place.has_recorded(5, 1).await;
    place.account.set_tokens(BTreeSet::new());
    pages(&daemon, "r2", "3").await;
    place.home.says("the key is not accepted").await;
    place.account.set_tokens(BTreeSet::from([LICENSE_TOKEN.to_owned()]));
    place.has_recorded(8, 2).await;
    place.holds(&[]).await;
    daemon.stop().await;
    place.home.verify().await;
}

#[tokio::test]
async fn a_check_says_what_such_an_account_rests_on_and_asks_it_only_for_products() {
    let place = Place::with("").await;
    let checked = place.home.run(&["check", "--online", "--config", "tallyd.toml"]).await;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    for part in [
        "told at http://127.0.0.1",
        "once, and held where its answer is lost",
        "sums of what came since the last",
        "is told by RecordUsage, which needs Stripe's usage records",
        "a product, told by RecordUsage",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let requests = place.account.statistics().requests;
    let asked: Vec<&str> = requests.keys().map(String::as_str).collect();
    assert_eq!(asked, ["GetProducts"]);
    assert_eq!(place.recorded(), (0, 0));
}
