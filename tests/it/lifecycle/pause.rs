//! Providers that must not be told: a key that is refused, a key of another account, customers
//! without an account.

use tallyd::sandbox::stripe::Keys;

use crate::support::daemon::{Billing, Home, KEY, Lines, until, usage};

#[tokio::test]
async fn a_refused_key_pauses_the_provider_and_it_goes_on_by_itself_when_it_is_taken_again() {
    let provider = Billing::start().await;
    let home = Home::new(&provider.url);
    let daemon = home.start().await;
    daemon.accept(&[usage("a", "cus_1", "calls", "1", 7_200)]).await;
    daemon.all_told(1).await;

    provider.handle.set_keys(Keys::Only([].into()));
    daemon.accept(&[usage("b", "cus_1", "calls", "2", 7_200)]).await;
    let paused = daemon.level("the pause", |status| !status["providers"][0]["pause"].is_null());
    let status = paused.await;
    let reason = status["providers"][0]["pause"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("the key is not accepted: Invalid API Key"), "{reason}");
    home.says("paused: nothing is sent until this is put right").await;
    // Usage is taken all the same.
    assert_eq!(daemon.get("/readyz").await.status, 200);
    daemon.accept(&[usage("c", "cus_2", "bytes", "3", 7_200)]).await;
    assert_eq!(provider.handle.statistics().meter_events_accepted, 1);

    provider.handle.set_keys(Keys::Only([KEY.to_owned()].into()));
    daemon.all_told(3).await;
    home.says("resumed").await;
    assert!(daemon.status().await["providers"][0]["pause"].is_null());
    daemon.stop().await;
    home.verify().await;
    let told: Vec<String> = provider.books().into_values().collect();
    assert_eq!(told, ["3", "3"]);
    assert_eq!(provider.handle.statistics().meter_events_accepted, 3);
}

#[tokio::test]
async fn a_key_refused_from_the_start_pauses_until_it_is_taken() {
    let provider = Billing::with(|stripe| stripe.keys = Keys::Only([].into())).await;
    let home = Home::new(&provider.url);
    let daemon = home.start().await;
    daemon.accept(&[usage("a", "cus_1", "calls", "1", 7_200)]).await;
    home.says("paused: nothing is sent until this is put right").await;
    // A pause outlives the process that made it, and is asked about again at once.
    daemon.stop().await;
    provider.handle.set_keys(Keys::AnyTest);
    let daemon = home.start().await;
    daemon.all_told(1).await;
    assert!(daemon.status().await["providers"][0]["pause"].is_null());
    daemon.stop().await;
    assert_eq!(provider.books().len(), 1);
}

#[tokio::test]
async fn another_account_behind_the_key_is_told_nothing_and_both_are_named() {
    let first = Billing::with(|stripe| stripe.account = "acct_1First".to_owned()).await;
    let home = Home::new(&first.url);
    let daemon = home.start().await;
    daemon.accept(&[usage("a", "cus_1", "calls", "1", 7_200)]).await;
    daemon.all_told(1).await;
    daemon.stop().await;

    let other = Billing::with(|stripe| stripe.account = "acct_1Other".to_owned()).await;
    home.configure(&other.url, Lines::default());
    let daemon = home.start().await;
    daemon.accept(&[usage("b", "cus_1", "calls", "2", 7_200)]).await;
    let paused = daemon.level("the pause", |status| !status["providers"][0]["pause"].is_null());
    let status = paused.await;
    assert_eq!(
        status["providers"][0]["pause"]["reason"],
        "the key belongs to acct_1Other (test), and this ledger writes to acct_1First (test)"
    );
    assert_eq!(status["providers"][0]["account"], "acct_1First");
    let asked = |provider: &Billing| {
        provider.handle.statistics().requests.get("GET /v1/account").cloned().unwrap_or_default()
    };
    // Asked again and again, and told nothing each time.
    until("probes", async || {
        let asked = asked(&other).get("200").copied().unwrap_or_default();
        if asked >= 3 { Ok(()) } else { Err(asked.to_string()) }
    })
    .await;
    assert_eq!(other.handle.events(), []);
    daemon.stop().await;

    // The right account again, and what waited is told to it.
    home.configure(&first.url, Lines::default());
    let daemon = home.start().await;
    daemon.all_told(2).await;
    daemon.stop().await;
    home.verify().await;
    assert_eq!(first.books().into_values().collect::<Vec<_>>(), ["3"]);
    assert_eq!(other.handle.events(), []);
}

#[tokio::test]
async fn usage_parked_for_want_of_an_account_accrues_once_when_the_account_is_imported() {
    let provider = Billing::start().await;
    let lines = Lines { route: "account = \"imported\"", ..Lines::default() };
    let home = Home::with(&provider.url, lines);
    let daemon = home.start().await;
    daemon.accept(&[usage("a", "acme", "calls", "1", 7_200)]).await;
    daemon.accept(&[usage("b", "acme", "calls", "2", 7_200)]).await;
    daemon.level("parking", |status| status["parked"][0]["count"] == 2).await;
    assert_eq!(provider.handle.events(), []);

    std::fs::write(home.path().join("accounts.csv"), "customer,account\nacme,cus_9\n").unwrap();
    for _ in 0..2 {
        let arguments = ["customers", "import", "accounts.csv", "--provider", "stripe.main"];
        let run = home.run(&arguments).await;
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(0), "{said}");
        daemon.all_told(2).await;
    }
    let run = home.run(&["customers", "import", "accounts.csv", "--provider", "stripe.mian"]).await;
    assert_ne!(run.status.code(), Some(0));
    daemon.accept(&[usage("c", "acme", "calls", "4", 7_200)]).await;
    daemon.all_told(3).await;
    daemon.stop().await;
    home.verify().await;
    let place = ("calls".to_owned(), "cus_9".to_owned());
    assert_eq!(provider.books(), [(place, "7".to_owned())].into());
}
