//! Lists: filters, order, pages, and how far they lag.

use std::time::Duration;

use serde_json::Value;

use crate::support::chargebee::{Running, START, code, ids, start, start_with, usage};

/// Five usages, the later recorded the earlier dated.
async fn five() -> Running {
    let site = start().await;
    for second in 0..5 {
        site.accept(&usage(&format!("u{second}"), "1", START + 100 - 10 * second)).await;
        site.advance(1);
    }
    site
}

async fn found(site: &Running, query: &[(&str, &str)]) -> String {
    site.ids("/usages", "usage", query).await.join(" ")
}

#[tokio::test]
async fn a_list_is_in_the_order_of_creation_unless_another_is_asked_for() {
    let site = five().await;
    assert_eq!(found(&site, &[]).await, "u0 u1 u2 u3 u4");
    assert_eq!(found(&site, &[("sort_by[asc]", "usage_date")]).await, "u4 u3 u2 u1 u0");
    assert_eq!(found(&site, &[("sort_by[desc]", "usage_date")]).await, "u0 u1 u2 u3 u4");
    assert_eq!(found(&site, &[("sort_by[desc]", "updated_at")]).await, "u4 u3 u2 u1 u0");
    let odd = site.try_get("/usages", &[("sort_by[asc]", "quantity")]).await;
    assert_eq!(code(&odd), "param_wrong_value");
}

#[tokio::test]
async fn every_filter_of_usages_finds_what_it_says() {
    let site = five().await;
    let at = |second: i64| (START + second).to_string();
    let between = format!("[{},{}]", at(70), at(90));
    for (name, value, expected) in [
        ("id[is]", "u3", "u3"),
        ("id[is_not]", "u3", "u0 u1 u2 u4"),
        ("id[starts_with]", "u", "u0 u1 u2 u3 u4"),
        ("id[starts_with]", "x", ""),
        ("subscription_id[is]", "sub", "u0 u1 u2 u3 u4"),
        ("subscription_id[is]", "nobody", ""),
        ("subscription_id[is_not]", "sub", ""),
        ("item_price_id[is]", "calls", "u0 u1 u2 u3 u4"),
        ("item_price_id[starts_with]", "b", ""),
        ("invoice_id[is_present]", "false", "u0 u1 u2 u3 u4"),
        ("invoice_id[is_present]", "true", ""),
        ("source[is]", "api", "u0 u1 u2 u3 u4"),
        ("source[is_not]", "api", ""),
        ("usage_date[after]", &at(80), "u0 u1"),
        ("usage_date[before]", &at(80), "u3 u4"),
        ("usage_date[on]", &at(80), "u2"),
        ("usage_date[between]", &between, "u1 u2 u3"),
        ("updated_at[after]", &at(2), "u3 u4"),
        ("updated_at[before]", &at(2), "u0 u1"),
    ] {
        assert_eq!(found(&site, &[(name, value)]).await, expected, "{name}={value}");
    }
    let both = [("usage_date[after]", &*at(60)), ("usage_date[before]", &at(90))];
    assert_eq!(found(&site, &both).await, "u2 u3");
}

#[tokio::test]
async fn lists_of_values_are_read_as_every_client_writes_them() {
    let site = five().await;
    let (from, until) = (START + 70, START + 90);
    for between in [
        format!("[{from},{until}]"),
        format!("[\"{from}\",\"{until}\"]"),
        format!("['{from}', '{until}']"),
    ] {
        let list = site.try_get("/usages", &[("usage_date[between]", &between)]).await;
        assert_eq!(ids(&list.body, "usage"), ["u1", "u2", "u3"], "{between}");
    }
    for sources in ["[api,bulk_operation]", "[\"api\"]", "['api', 'admin_console']", "api"] {
        let list = site.try_get("/usages", &[("source[in]", sources)]).await;
        assert_eq!(ids(&list.body, "usage").len(), 5, "{sources}");
    }
    let none = site.try_get("/usages", &[("source[not_in]", "[\"api\"]")]).await;
    assert_eq!(ids(&none.body, "usage").len(), 0);
}

#[tokio::test]
async fn a_filter_that_makes_no_sense_is_refused() {
    let site = five().await;
    for (name, value) in [
        ("id[in]", "[u1]"),
        ("id", "u1"),
        ("quantity[is]", "1"),
        ("usage_date[after]", "160171800"),
        ("usage_date[after]", "yesterday"),
        ("usage_date[between]", "[1601718000]"),
        ("usage_date[since]", "1601718000"),
        ("source[is]", "gremlins"),
        ("source[in]", "[api,gremlins]"),
        ("invoice_id[is_present]", "perhaps"),
        ("include_deleted", "true"),
        ("limit", "0"),
        ("limit", "101"),
        ("offset", "beginning"),
    ] {
        let refused = site.try_get("/usages", &[(name, value)]).await;
        assert_eq!(refused.status, 400, "{name}={value}: {}", refused.text);
    }
}

#[tokio::test]
async fn pages_follow_one_another_until_there_is_no_next_offset() {
    let site = five().await;
    for query in
        [vec![], vec![("sort_by[asc]", "usage_date")], vec![("sort_by[desc]", "usage_date")]]
    {
        let whole = site.ids("/usages", "usage", &query).await;
        let (mut seen, mut offset, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let mut query = query.clone();
            query.push(("limit", "2"));
            query.extend(offset.as_deref().map(|offset| ("offset", offset)));
            let page = site.get("/usages", &query).await;
            seen.extend(ids(&page, "usage"));
            pages += 1;
            // What comes while pages are turned does not shift them.
            if pages == 1 {
                site.advance(1);
            }
            offset = page.get("next_offset").and_then(Value::as_str).map(str::to_owned);
            if offset.is_none() {
                break;
            }
        }
        assert_eq!((seen, pages), (whole, 3), "{query:?}");
    }
    assert_eq!(site.get("/usages", &[("limit", "5")]).await.get("next_offset"), None);
}

#[tokio::test]
async fn lists_lag_behind_what_is_found_by_its_id() {
    let lag = Duration::from_secs(300);
    let site = start_with(|settings| settings.list_lag = lag).await;
    site.accept(&usage("a", "1", START)).await;
    assert_eq!(found(&site, &[]).await, "");
    assert_eq!(site.usage("a").await.status, 200);
    site.advance(299);
    assert_eq!(found(&site, &[]).await, "");
    site.advance(1);
    assert_eq!(found(&site, &[]).await, "a");
    site.delete("a").await;
    assert_eq!(site.usage("a").await.status, 404);
    assert_eq!(found(&site, &[]).await, "a", "a list still shows what is gone");
    site.advance(300);
    assert_eq!(found(&site, &[]).await, "");
}
