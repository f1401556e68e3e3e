//! What a provider bills, as a room reads it. Here: the MUSTs of objects and lists. Never here:
//! what an object means (each room's own tests). Read next: [`super::stripe`].

use serde_json::json;
use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::names::{FeedName, InvoiceId, SubscriptionId};
use tallyd::domain::time::Timestamp;

use super::subject::{MIDNIGHT, Made, Trial, told_time};

const SUBSCRIPTION: &str = "sub_1";
const INVOICE: &str = "in_1";
/// The page that a list is asked for by.
const PAGE: &str = "sub_9";
/// The page that a feed is asked for by.
const FEED_PAGE: &str = "evt_9";

fn subscription() -> SubscriptionId {
    SubscriptionId::new(SUBSCRIPTION).unwrap()
}

fn invoice() -> InvoiceId {
    InvoiceId::new(INVOICE).unwrap()
}

pub(super) fn nothing_there(trial: &Trial) {
    let exchange = [vec![trial.subject.missing()], trial.subject.after_subscription()].concat();
    let (found, _) = trial
        .asked(&exchange, async |made: &Made| made.billing().subscription(&subscription()).await);
    let nothing = found.as_ref().is_ok_and(|asked| asked.value.is_none());
    trial.holds(nothing, &found);
    let (found, record) = trial.asked(&[trial.subject.missing()], async |made: &Made| {
        made.billing().invoice(&invoice()).await
    });
    let nothing = found.as_ref().is_ok_and(|asked| asked.value.is_none() && asked.calls == 1);
    trial.holds(nothing, (&found, record));
    // That there is none is an answer, and tells the time like any other.
    let told = found.as_ref().is_ok_and(|asked| asked.provider_at == told_time());
    trial.holds(told, found);
}

fn is_unknown<T>(found: &Result<T, Answer>) -> bool {
    found.as_ref().is_err_and(|answer| answer.outcome == Outcome::Unknown)
}

pub(super) fn another_object(trial: &Trial) {
    let subject = trial.subject;
    let other = subject.wrapped("subscription", subject.subscription("sub_2"));
    let exchange = [vec![other], subject.after_subscription()].concat();
    let (found, _) = trial
        .asked(&exchange, async |made: &Made| made.billing().subscription(&subscription()).await);
    trial.holds(is_unknown(&found), found);
    let other = subject.wrapped("invoice", subject.invoice("in_2"));
    let exchange = [vec![other], subject.after_invoice()].concat();
    let (found, _) =
        trial.asked(&exchange, async |made: &Made| made.billing().invoice(&invoice()).await);
    trial.holds(is_unknown(&found), found);
    let body = subject.wrapped("something", json!({"id": SUBSCRIPTION}));
    let (found, _) = trial.asked(std::slice::from_ref(&body), async |made: &Made| {
        made.billing().subscription(&subscription()).await
    });
    trial.holds(is_unknown(&found), found);
    let (found, _) =
        trial.asked(&[body], async |made: &Made| made.billing().invoice(&invoice()).await);
    trial.holds(is_unknown(&found), found);
}

pub(super) fn circle(trial: &Trial) {
    let subject = trial.subject;
    let since = Timestamp::from_seconds(MIDNIGHT);
    let row = |kind: &str, object| subject.row(kind, object);
    let subscriptions =
        subject.list(&[row("subscription", subject.subscription(PAGE))], Some(PAGE));
    let (found, _) = trial.asked(&[subscriptions], async |made: &Made| {
        made.billing().subscriptions(None, Some(PAGE)).await
    });
    trial.holds(is_unknown(&found), found);
    let invoices = subject.list(&[row("invoice", subject.invoice(PAGE))], Some(PAGE));
    let (found, _) = trial
        .asked(&[invoices], async |made: &Made| made.billing().invoices(since, Some(PAGE)).await);
    trial.holds(is_unknown(&found), found);
    let events = subject.list(&[row("event", json!({"id": FEED_PAGE}))], Some(FEED_PAGE));
    let feed = FeedName::new(subject.feed()).unwrap();
    let (found, _) = trial.asked(&[events], async |made: &Made| {
        made.billing().feed_page(&feed, since, Some(FEED_PAGE)).await
    });
    trial.holds(is_unknown(&found), found);
}

pub(super) fn odd_row(trial: &Trial) {
    let subject = trial.subject;
    let row = |kind: &str, object| subject.row(kind, object);
    let mut odd = subject.subscription("sub_3");
    odd["status"] = json!(7);
    let rows = [
        row("subscription", odd),
        row("something", json!({"id": "sub_4"})),
        row("subscription", subject.subscription(SUBSCRIPTION)),
    ];
    let (found, _) = trial.asked(&[subject.list(&rows, None)], async |made: &Made| {
        made.billing().subscriptions(None, None).await
    });
    let read = found.as_ref().is_ok_and(|asked| {
        let ids: Vec<&str> = asked.value.items.iter().map(|each| each.id.as_str()).collect();
        ids == [SUBSCRIPTION] && asked.value.next.is_none()
    });
    trial.holds(read, found);
    let mut odd = subject.invoice("in_3");
    odd["status"] = json!(7);
    let rows = [row("invoice", odd), row("invoice", subject.invoice(INVOICE))];
    let exchange = [vec![subject.list(&rows, None)], subject.after_invoice()].concat();
    let (found, _) = trial.asked(&exchange, async |made: &Made| {
        made.billing().invoices(Timestamp::from_seconds(MIDNIGHT), None).await
    });
    let read = found.as_ref().is_ok_and(|asked| {
        let ids: Vec<&str> = asked.value.items.iter().map(|each| each.id.as_str()).collect();
        ids == [INVOICE]
    });
    trial.holds(read, found);
}
