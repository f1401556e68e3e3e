//! The real binary and a product at Planship, which takes reports by a token and counts each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tallyd::sandbox::faults::{FaultKind, Faults};
use tallyd::sandbox::planship::{CLIENT, Known, PlanshipHandle, SECRET};

use super::holding::{holds, resolve};
use crate::support::daemon::{Billing, Home, Lines, TestDaemon, until, usage};

const CUSTOMER: &str = "stripe:cus_Qv7TP2s0BZ6XAV";

/// The config of the product that `provider` stands in for; a record is told a moment after it
/// came.
fn product_of(provider: &Billing, more: &str) -> String {
    format!(
        "[planship.main]\nclient_id = \"{CLIENT}\"\n\
         client_secret = {{ file = \"planship.secret\" }}\napi = \"{}\"\nproduct = \"demo\"\n\
         metering_ids = [\"api-call\"]\nrate_per_second = 100\nbackoff_first_millis = 20\n{more}\n\
         [route.pages]\nmeter = \"pages\"\nto = \"planship.main\"\nevent = \"api-call\"\n\
         scale = \"0.5\"\nsettle = \"0s\"\n",
        provider.planship_url
    )
}

/// A daemon's home beside the product that it tells.
struct Place {
    provider: Billing,
    organization: PlanshipHandle,
    home: Home,
}

impl Place {
    async fn with(more: &str) -> Self {
        let provider = Billing::start().await;
        let organization = provider.handle.planship();
        let more = product_of(&provider, more);
        let home = Home::with(&provider.url, Lines { more: &more, ..Lines::default() });
        std::fs::write(home.path().join("planship.secret"), SECRET).unwrap();
        Self { provider, organization, home }
    }

    fn next(&self, fault: FaultKind) {
        self.organization.set_faults(Faults { next: [fault].into(), ..Faults::default() }).unwrap();
    }

    /// What was reported of the only customer: how much, and how often.
    fn reported(&self) -> (i64, u64) {
        match self.organization.books().as_slice() {
            [] => (0, 0),
            [line] => {
                assert_eq!((line.customer.as_str(), line.product.as_str()), (CUSTOMER, "demo"));
                (line.total, line.records)
            }
            several => panic!("{several:?}"),
        }
    }

    async fn has_reported(&self, total: i64, records: u64) {
        until("reporting", async || match self.reported() {
            found if found == (total, records) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    /// How often this was asked for, and answered so.
    fn asked(&self, route: &str, status: &str) -> u64 {
        let requests = self.organization.statistics().requests;
        requests.get(route).and_then(|by_status| by_status.get(status)).copied().unwrap_or(0)
    }
}

async fn pages(daemon: &TestDaemon, id: &str, quantity: &str) {
    daemon.accept(&[usage(id, CUSTOMER, "pages", quantity, 60)]).await;
}

#[tokio::test]
async fn usage_is_reported_by_one_token_in_whole_numbers_and_the_remainder_is_carried() {
    let place = Place::with("").await;
    let daemon = place.home.start().await;
    // Half of each counts.
    pages(&daemon, "r1", "11").await;
    place.has_reported(5, 1).await;
    pages(&daemon, "r2", "1").await;
    place.has_reported(6, 2).await;
    holds(&place.home, &[]).await;
    // The one that shows at the start who asks.
    assert_eq!(place.asked("POST token", "200"), 1, "{:?}", place.organization.statistics());
    daemon.stop().await;
    place.home.verify().await;
    assert!(!place.home.said().contains(SECRET), "{}", place.home.said());
}

#[tokio::test]
async fn what_a_lost_answer_leaves_unknown_is_held_to_the_unit_and_not_told_again() {
    let place = Place::with("").await;
    let daemon = place.home.start().await;
    for (number, fault) in
        [FaultKind::AnswerLost, FaultKind::AnswerCut, FaultKind::ErrorAfter].into_iter().enumerate()
    {
        place.next(fault);
        pages(&daemon, &format!("r{number}"), "10").await;
        let names = holds(&place.home, &[("window_passed", "5")]).await;
        let count = u64::try_from(number).unwrap() + 1;
        place.has_reported(i64::try_from(count).unwrap() * 5, count).await;
        resolve(&place.home, &names[0], "billed").await;
        holds(&place.home, &[]).await;
    }
    pages(&daemon, "last", "6").await;
    place.has_reported(18, 4).await;
    daemon.stop().await;
    place.home.verify().await;
}

#[tokio::test]
async fn an_operator_may_have_it_told_again_perhaps_twice() {
    let place = Place::with("on_unknown = \"resend\"").await;
    let daemon = place.home.start().await;
    place.next(FaultKind::AnswerLost);
    pages(&daemon, "r1", "10").await;
    place.has_reported(10, 2).await;
    holds(&place.home, &[]).await;
    daemon.stop().await;
    place.home.verify().await;
}

#[tokio::test]
async fn a_token_that_was_forgotten_is_renewed_and_nothing_is_held() {
    let place = Place::with("").await;
    let daemon = place.home.start().await;
    pages(&daemon, "r1", "10").await;
    place.has_reported(5, 1).await;
    place.organization.end_tokens();
    pages(&daemon, "r2", "10").await;
    place.has_reported(10, 2).await;
    assert_eq!(place.asked("POST usage", "401"), 1);
    holds(&place.home, &[]).await;
    daemon.stop().await;
    place.home.verify().await;
}

#[tokio::test]
async fn a_secret_that_is_revoked_pauses_the_product_and_loses_nothing() {
    let place = Place::with("pause_probe_seconds = 1").await;
    let daemon = place.home.start().await;
    pages(&daemon, "r1", "10").await;
    place.has_reported(5, 1).await;
    place.organization.set_clients(BTreeMap::new());
    place.organization.end_tokens();
    pages(&daemon, "r2", "6").await;
    place.home.says("the key is not accepted").await;
    let clients = BTreeMap::from([(CLIENT.to_owned(), SECRET.to_owned())]);
    place.organization.set_clients(clients);
    place.has_reported(8, 2).await;
    holds(&place.home, &[]).await;
    daemon.stop().await;
    place.home.verify().await;
}

#[tokio::test]
async fn what_is_refused_is_held_with_what_planship_said_until_its_cause_is_gone() {
    let place = Place::with("").await;
    place.organization.set_customers(Known::Only(BTreeSet::new()));
    let daemon = place.home.start().await;
    pages(&daemon, "r1", "10").await;
    let names = holds(&place.home, &[("refused", "5")]).await;
    let shown = ["held", "show", &names[0], "--config", "tallyd.toml"];
    let shown = place.home.run(&shown).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("Customer not found"), "{shown}");
    place.organization.set_customers(Known::Any);
    resolve(&place.home, &names[0], "not-billed").await;
    place.has_reported(5, 1).await;
    holds(&place.home, &[]).await;
    daemon.stop().await;
    place.home.verify().await;
}

#[tokio::test]
async fn what_a_crash_left_in_flight_is_held_and_not_told_again() {
    let place = Place::with("").await;
    let daemon = place.home.start().await;
    place.provider.handle.hold_answers();
    pages(&daemon, "r1", "10").await;
    place.has_reported(5, 1).await;
    daemon.kill().await;
    place.provider.handle.release_answers();
    let daemon = place.home.start().await;
    holds(&place.home, &[("window_passed", "5")]).await;
    assert_eq!(place.reported(), (5, 1));
    daemon.stop().await;
    place.home.verify().await;
}

#[tokio::test]
async fn what_was_posted_for_one_product_is_never_told_to_another() {
    let place = Place::with("").await;
    let daemon = place.home.start().await;
    pages(&daemon, "r1", "10").await;
    place.has_reported(5, 1).await;
    daemon.stop().await;
    let config = place.home.path().join("tallyd.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("product = \"demo\"", "product = \"other\"")).unwrap();
    let daemon = place.home.start().await;
    pages(&daemon, "r2", "10").await;
    place.home.says("and this ledger writes to demo").await;
    assert_eq!(place.reported(), (5, 1));
    daemon.stop().await;
}

#[tokio::test]
async fn a_check_asks_for_a_token_and_the_product_and_reports_nothing() {
    let place = Place::with("").await;
    place.organization.set_token_lives(Duration::from_secs(60));
    let check = ["check", "--online", "--config", "tallyd.toml"];
    let checked = place.home.run(&check).await;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    for part in [
        "told at http://127.0.0.1",
        "once, and held where its answer is lost",
        "its product is \"demo\"",
        "a metering id, reported by the amount",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let requests = place.organization.statistics().requests;
    let asked: Vec<&str> = requests.keys().map(String::as_str).collect();
    assert_eq!(asked, ["GET product", "POST token"]);
    let config = place.home.path().join("tallyd.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("product = \"demo\"", "product = \"other\"")).unwrap();
    let checked = place.home.run(&check).await;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&checked.stdout),
        String::from_utf8_lossy(&checked.stderr)
    );
    assert!(said.contains("the organization has no product \"other\""), "{said}");
    assert_eq!(place.reported(), (0, 0));
}
