//! What Stripe bills and announces, behind the port. Here: which requests each question takes, and
//! what is passed over with a warning. Never here: how an object is read, the wire
//! ([`super::client`]). Read next: [`crate::provider::billing`].
//!
//! A row of a list that makes no sense is passed over, as it must not hide the rows behind it; one
//! of the other mode means that the key or the account is not what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use async_trait::async_trait;
use bytes::Bytes;

use super::Stripe;
use super::client::Reading;
use super::feeds::{self, Feed};
use super::objects::{self, NoObject};
use super::prices::{self, Bills, Catalogue, KnownMeters};
use super::{invoices, rejections, subscriptions};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::billing::{Invoice, RejectionReport, Subscription};
use crate::domain::names::{
    AccountName, FeedName, InvoiceId, NoticeId, NoticeKind, PriceId, SubscriptionId,
};
use crate::domain::notice::{Notice, Related};
use crate::domain::provider_facts::MeterPin;
use crate::domain::state::HoldReason;
use crate::domain::time::Timestamp;
use crate::provider::billing::{Announced, Answered, BillingReader, Page};
use crate::provider::wire;

pub(super) const SUBSCRIPTIONS: &str = "/v1/subscriptions";
pub(super) const INVOICES: &str = "/v1/invoices";
pub(super) const PRICES: &str = "/v1/prices";

/// Why something cannot be told.
#[derive(Debug)]
enum Untold {
    /// There was no answer that could be read at all.
    Answer(Box<Answer>),
    /// What was answered is no such object.
    Object(NoObject),
}

impl From<Box<Answer>> for Untold {
    fn from(answer: Box<Answer>) -> Self {
        Self::Answer(answer)
    }
}

impl From<NoObject> for Untold {
    fn from(why: NoObject) -> Self {
        Self::Object(why)
    }
}

impl From<Untold> for Answer {
    fn from(untold: Untold) -> Self {
        match untold {
            Untold::Answer(answer) => *answer,
            Untold::Object(why @ NoObject::Unreadable(_)) => {
                Self::bare(Outcome::Unknown, why.to_string())
            }
            Untold::Object(why @ NoObject::OtherMode(_)) => {
                Self::bare(Outcome::WrongAccount, why.to_string())
            }
        }
    }
}

/// What is not asked, and why.
fn not_asked(why: String) -> Untold {
    Untold::Answer(Box::new(Answer::bare(Outcome::Refused(HoldReason::Refused), why)))
}

/// The path of the object of this id.
fn path_of(list: &str, id: &str) -> Result<String, Untold> {
    let segment = wire::segment(id);
    let segment =
        segment.ok_or_else(|| not_asked(format!("the id \"{id}\" is none of Stripe's")))?;
    Ok(format!("{list}/{segment}"))
}

/// Whether Stripe says that there is no such object, and not that there is no such path: in version
/// 1 and in version 2.
fn is_missing(answer: &Answer) -> bool {
    answer.status == Some(404)
        && matches!(answer.outcome, Outcome::Refused(_))
        && matches!(answer.code.as_deref(), Some("resource_missing" | "not_found"))
}

/// One question, and the requests that it takes.
struct Inquiry<'a> {
    stripe: &'a Stripe,
    reading: Reading<'a>,
    known: KnownMeters,
}

impl<'a> Inquiry<'a> {
    fn new(stripe: &'a Stripe) -> Self {
        Self { stripe, reading: Reading::new(&stripe.client), known: stripe.known_meters() }
    }

    fn answered<T>(&self, value: T) -> Answered<T> {
        let (provider_at, calls) = (self.reading.provider_at(), self.reading.calls());
        Answered { value, provider_at, calls }
    }

    async fn get(&self, path: &str) -> Result<Bytes, Untold> {
        Ok(self.reading.get(path).await?)
    }

    /// The object at `path`; nothing where there is none.
    async fn find(&self, path: &str) -> Result<Option<Bytes>, Untold> {
        match self.reading.get(path).await {
            Ok(body) => Ok(Some(body)),
            Err(answer) if is_missing(&answer) => Ok(None),
            Err(answer) => Err(Untold::Answer(answer)),
        }
    }

    /// The subscription that `text` tells of, with all of its items.
    async fn subscription(&self, text: &[u8]) -> Result<Subscription, Untold> {
        let mut told = subscriptions::read(text, self.stripe.livemode)?;
        for _ in 0..subscriptions::ITEM_PAGES_MAX {
            let Some(path) = told.more_items() else { break };
            told.take_items(&self.get(&path).await?)?;
        }
        self.stripe.with_prices(|catalogue| {
            for price in told.prices() {
                if let Some(name) = price.name() {
                    catalogue.learn(name, price.bills());
                }
            }
        });
        let found = told.find(&self.known)?;
        self.stripe.warn_of_strangers(found.strangers);
        Ok(found.subscription)
    }

    /// The invoice that `text` tells of, with all of its lines; nothing where it is nobody's.
    async fn invoice(&self, text: &[u8]) -> Result<Option<Invoice>, Untold> {
        let mut told = invoices::read(text, self.stripe.livemode)?;
        for _ in 0..invoices::LINE_PAGES_MAX {
            let Some(path) = told.more_lines() else { break };
            told.take_lines(&self.get(&path).await?)?;
        }
        let bills = self.bills(told.prices()?).await?;
        let found = told.find(&bills, &self.known)?;
        self.stripe.warn_of_strangers(found.strangers);
        Ok(found.invoice)
    }

    /// What these prices bill: as it is remembered, else as Stripe tells it now. What was found out
    /// stays remembered when a later request fails, so that asking again gets further.
    async fn bills(&self, prices: BTreeSet<PriceId>) -> Result<BTreeMap<PriceId, Bills>, Untold> {
        let mut found = BTreeMap::new();
        for price in prices {
            let remembered = self.stripe.with_prices(|catalogue| catalogue.of(&price).cloned());
            let bills = match remembered {
                Some(bills) => bills,
                None => self.ask_price(&price).await?,
            };
            found.insert(price, bills);
        }
        Ok(found)
    }

    async fn ask_price(&self, price: &PriceId) -> Result<Bills, Untold> {
        let bills = match self.find(&path_of(PRICES, price.as_str())?).await? {
            Some(body) => prices::read(&body, price, self.stripe.livemode)?.bills(),
            // A plan can be deleted and stays on its invoices. What it billed cannot be asked any
            // more; were the invoice unreadable for that, its other lines would be lost with it.
            None => {
                let provider = &self.stripe.name;
                tracing::warn!(%provider, %price, "a price is gone: what it billed is left out");
                Bills::NoMeter
            }
        };
        self.stripe.with_prices(|catalogue| catalogue.learn(price.clone(), bills.clone()));
        Ok(bills)
    }

    /// Goes on without a row that makes no sense; not without one that anything else is wrong with.
    fn pass_over(&self, untold: Untold) -> Result<(), Untold> {
        let why = match untold {
            Untold::Object(NoObject::Unreadable(why)) => why,
            other @ (Untold::Object(NoObject::OtherMode(_)) | Untold::Answer(_)) => {
                return Err(other);
            }
        };
        let provider = &self.stripe.name;
        tracing::warn!(%provider, why, "an entry of a list cannot be read and is passed over");
        Ok(())
    }
}

impl Stripe {
    /// What is remembered of prices. A panic elsewhere cannot leave it half changed.
    fn with_prices<T>(&self, work: impl FnOnce(&mut Catalogue) -> T) -> T {
        work(&mut self.prices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The pinned meters whose ids are known.
    fn known_meters(&self) -> KnownMeters {
        self.with_meters(|meters| {
            let by_id = |pin: &MeterPin| Some((pin.id.clone()?, pin.meter.clone()));
            KnownMeters(meters.pinned.values().filter_map(by_id).collect())
        })
    }

    /// Says once of each meter that it is billed and not known. Nothing is told to it, so nothing
    /// of it can be missing.
    fn warn_of_strangers(&self, ids: impl IntoIterator<Item = String>) {
        for meter in ids {
            if self.with_prices(|catalogue| catalogue.is_new_stranger(&meter)) {
                let provider = &self.name;
                tracing::warn!(%provider, meter, "an unknown meter is billed, and left out");
            }
        }
    }
}

#[async_trait]
impl BillingReader for Stripe {
    fn announced(&self, kind: &NoticeKind, related: Option<&Related>) -> Announced {
        feeds::announced(kind, related)
    }

    fn feeds(&self) -> Vec<FeedName> {
        Feed::ALL.iter().filter_map(|feed| FeedName::new(feed.as_str()).ok()).collect()
    }

    async fn feed_page(
        &self,
        feed: &FeedName,
        since: Timestamp,
        page: Option<&str>,
    ) -> Result<Answered<Page<Notice>>, Answer> {
        let listed = Feed::parse(feed.as_str())
            .ok_or_else(|| not_asked(format!("there is no feed \"{feed}\" at Stripe")))?;
        if page.is_some_and(|page| !listed.can_ask_with(page)) {
            return Err(not_asked(format!("no page of the feed \"{feed}\" is called so")).into());
        }
        let inquiry = Inquiry::new(self);
        let body = inquiry.get(&listed.path(since, page)).await?;
        let taken = listed.take(&body, page, self.livemode).map_err(Untold::from)?;
        for fault in taken.faults {
            inquiry.pass_over(NoObject::Unreadable(format!("an event: {fault}")).into())?;
        }
        Ok(inquiry.answered(taken.page))
    }

    async fn subscription(
        &self,
        id: &SubscriptionId,
    ) -> Result<Answered<Option<Subscription>>, Answer> {
        let inquiry = Inquiry::new(self);
        let Some(body) = inquiry.find(&path_of(SUBSCRIPTIONS, id.as_str())?).await? else {
            return Ok(inquiry.answered(None));
        };
        let subscription = inquiry.subscription(&body).await?;
        if subscription.id != *id {
            return Err(another("subscription", id.as_str()).into());
        }
        Ok(inquiry.answered(Some(subscription)))
    }

    async fn subscriptions(
        &self,
        account: Option<&AccountName>,
        page: Option<&str>,
    ) -> Result<Answered<Page<Subscription>>, Answer> {
        let inquiry = Inquiry::new(self);
        let mut filters = vec![("status", "all")];
        filters.extend(account.map(|account| ("customer", account.as_str())));
        let body = inquiry.get(&objects::list_path(SUBSCRIPTIONS, &filters, page)).await?;
        let rows = objects::list(&body, page).map_err(Untold::from)?;
        let mut items = Vec::new();
        for row in rows.rows {
            match inquiry.subscription(row.get().as_bytes()).await {
                Ok(subscription) => items.push(subscription),
                Err(untold) => inquiry.pass_over(untold)?,
            }
        }
        Ok(inquiry.answered(Page { items, next: rows.next }))
    }

    async fn invoice(&self, id: &InvoiceId) -> Result<Answered<Option<Invoice>>, Answer> {
        let inquiry = Inquiry::new(self);
        let Some(body) = inquiry.find(&path_of(INVOICES, id.as_str())?).await? else {
            return Ok(inquiry.answered(None));
        };
        let invoice = inquiry.invoice(&body).await?;
        if invoice.as_ref().is_some_and(|invoice| invoice.id != *id) {
            return Err(another("invoice", id.as_str()).into());
        }
        Ok(inquiry.answered(invoice))
    }

    async fn invoices(
        &self,
        since: Timestamp,
        page: Option<&str>,
    ) -> Result<Answered<Page<Invoice>>, Answer> {
        let inquiry = Inquiry::new(self);
        let since = since.seconds().to_string();
        let filters = [("created[gte]", since.as_str())];
        let body = inquiry.get(&objects::list_path(INVOICES, &filters, page)).await?;
        let rows = objects::list(&body, page).map_err(Untold::from)?;
        let mut items = Vec::new();
        for row in rows.rows {
            match inquiry.invoice(row.get().as_bytes()).await {
                Ok(invoice) => items.extend(invoice),
                Err(untold) => inquiry.pass_over(untold)?,
            }
        }
        Ok(inquiry.answered(Page { items, next: rows.next }))
    }

    async fn rejections(
        &self,
        notice: &NoticeId,
    ) -> Result<Answered<Option<RejectionReport>>, Answer> {
        let inquiry = Inquiry::new(self);
        let path = path_of(feeds::CORE_EVENTS, notice.as_str())?;
        let Some(body) = inquiry.find(&path).await? else {
            return Ok(inquiry.answered(None));
        };
        let found = rejections::read(&body, notice, &inquiry.known, self.livemode);
        let found = found.map_err(Untold::from)?;
        self.warn_of_strangers(found.stranger);
        Ok(inquiry.answered(Some(found.report)))
    }
}

/// The answer is about another object than the one that was asked for.
fn another(what: &str, id: &str) -> Untold {
    NoObject::unreadable(&format!("the {what} {id}"), "is another one").into()
}
