//! What a site bills and announces, behind the port. Here: which requests each question takes, and
//! what is passed over with a warning. Never here: how an object is read, the wire
//! ([`super::client`]). Read next: [`crate::provider::billing`].
//!
//! A row of a list that makes no sense is passed over, as it must not hide the rows behind it.
//! Lists lag behind by minutes, single objects do not; so what is asked for by its id is retrieved,
//! and a list is asked only for what cannot be: a subscription that was deleted, the newest
//! invoice.

use async_trait::async_trait;

use super::client::Inquiry;
use super::objects::{self, Rows};
use super::{Chargebee, events, invoices, subscriptions};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::billing::{Invoice, RejectionReport, Subscription};
use crate::domain::names::{
    AccountName, FeedName, InvoiceId, NoticeId, NoticeKind, SubscriptionId,
};
use crate::domain::notice::{Notice, Related};
use crate::domain::state::HoldReason;
use crate::domain::time::Timestamp;
use crate::provider::billing::{Announced, Answered, BillingReader, Page};

const SUBSCRIPTIONS: &str = "/subscriptions";
const INVOICES: &str = "/invoices";

/// Why something cannot be told.
#[derive(Debug)]
enum Untold {
    /// There was no answer that could be read at all.
    Answer(Box<Answer>),
    /// What was answered makes no sense; a sentence.
    Unreadable(String),
}

impl From<Box<Answer>> for Untold {
    fn from(answer: Box<Answer>) -> Self {
        Self::Answer(answer)
    }
}

impl From<String> for Untold {
    fn from(why: String) -> Self {
        Self::Unreadable(why)
    }
}

impl From<Untold> for Answer {
    fn from(untold: Untold) -> Self {
        match untold {
            Untold::Answer(answer) => *answer,
            Untold::Unreadable(why) => Self::bare(Outcome::Unknown, why),
        }
    }
}

fn answered<T>(inquiry: &Inquiry<'_>, value: T) -> Answered<T> {
    Answered { value, provider_at: inquiry.provider_at(), calls: inquiry.calls() }
}

impl Chargebee {
    fn inquiry(&self) -> Inquiry<'_> {
        Inquiry::new(&self.client)
    }

    async fn subscription_of(
        &self,
        inquiry: &mut Inquiry<'_>,
        id: &SubscriptionId,
    ) -> Result<Option<Subscription>, Untold> {
        let known = &self.meters;
        if let Some(body) = inquiry.find(&["subscriptions", id.as_str()], "").await? {
            return Ok(Some(subscriptions::read(&body)?.find(known)?));
        }
        // One that was deleted is only in the list, as such.
        let filters = [("id[is]", id.as_str()), ("include_deleted", "true")];
        let body = inquiry.get(&objects::list_path(SUBSCRIPTIONS, &filters, None)).await?;
        let rows = objects::list(&body, None)?.rows;
        let read = |row: &&serde_json::value::RawValue| -> Result<Subscription, Untold> {
            Ok(subscriptions::read(row.get().as_bytes())?.find(known)?)
        };
        rows.first().map(read).transpose()
    }

    /// The newest invoice that names the subscription; one over several names none.
    async fn newest_invoice(
        &self,
        inquiry: &mut Inquiry<'_>,
        of: &SubscriptionId,
    ) -> Result<Option<InvoiceId>, Untold> {
        let filters = [("subscription_id[is]", of.as_str()), NEWEST_FIRST];
        let body = inquiry.get(&objects::list_path(INVOICES, &filters, None)).await?;
        for row in objects::list(&body, None)?.rows {
            let told = invoices::read(row.get().as_bytes())?;
            // What was charged once is on invoices of its own.
            if told.is_recurring() {
                return Ok(Some(objects::named("id", told.id(), InvoiceId::new)?));
            }
        }
        Ok(None)
    }

    /// The invoice that `text` tells of, with all of its lines.
    async fn invoice_of(&self, inquiry: &mut Inquiry<'_>, text: &[u8]) -> Result<Invoice, Untold> {
        let mut told = invoices::read(text)?;
        for _ in 0..invoices::LINE_PAGES_MAX {
            let Some(page) = told.more_lines() else { break };
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("line_items_offset", page)
                .finish();
            let path = ["invoices", told.id()];
            let body = inquiry.find(&path, &query).await?;
            let gone = || format!("the invoice {:?} went while it was read", told.id());
            told.take_lines(&body.ok_or_else(gone)?)?;
        }
        Ok(told.find(&self.meters, self.settings.invoices_close_after_hours)?)
    }

    /// Goes on without a row that makes no sense; not without one that could not be asked for.
    fn pass_over(&self, untold: Untold) -> Result<(), Untold> {
        let why = match untold {
            Untold::Unreadable(why) => why,
            Untold::Answer(answer) => return Err(Untold::Answer(answer)),
        };
        let provider = &self.settings.name;
        tracing::warn!(%provider, why, "an entry of a list cannot be read and is passed over");
        Ok(())
    }
}

/// Sorts a list by the day of the invoice, the newest first.
const NEWEST_FIRST: (&str, &str) = ("sort_by[desc]", "date");

#[async_trait]
impl BillingReader for Chargebee {
    fn announced(&self, kind: &NoticeKind, related: Option<&Related>) -> Announced {
        events::announced(kind, related)
    }

    fn feeds(&self) -> Vec<FeedName> {
        FeedName::new(events::FEED).into_iter().collect()
    }

    async fn feed_page(
        &self,
        feed: &FeedName,
        since: Timestamp,
        page: Option<&str>,
    ) -> Result<Answered<Page<Notice>>, Answer> {
        if feed.as_str() != events::FEED {
            let why = format!("there is no feed \"{feed}\" at Chargebee");
            return Err(Answer::bare(Outcome::Refused(HoldReason::Refused), why));
        }
        let mut inquiry = self.inquiry();
        let body = inquiry.get(&events::path(since, page)).await.map_err(Untold::from)?;
        let taken = events::take(&body, page, self.settings.livemode()).map_err(Untold::from)?;
        for fault in taken.faults {
            self.pass_over(Untold::Unreadable(format!("an event: {fault}")))?;
        }
        Ok(answered(&inquiry, taken.page))
    }

    async fn subscription(
        &self,
        id: &SubscriptionId,
    ) -> Result<Answered<Option<Subscription>>, Answer> {
        let mut inquiry = self.inquiry();
        let Some(found) = self.subscription_of(&mut inquiry, id).await? else {
            return Ok(answered(&inquiry, None));
        };
        if found.id != *id {
            let why = format!("the subscription {id} is another one");
            return Err(Untold::Unreadable(why).into());
        }
        let latest_invoice = self.newest_invoice(&mut inquiry, id).await?;
        Ok(answered(&inquiry, Some(Subscription { latest_invoice, ..found })))
    }

    async fn subscriptions(
        &self,
        account: Option<&AccountName>,
        page: Option<&str>,
    ) -> Result<Answered<Page<Subscription>>, Answer> {
        let mut inquiry = self.inquiry();
        let mut filters = vec![("include_deleted", "true")];
        // An account is a subscription.
        filters.extend(account.map(|account| ("id[is]", account.as_str())));
        let path = objects::list_path(SUBSCRIPTIONS, &filters, page);
        let body = inquiry.get(&path).await.map_err(Untold::from)?;
        let Rows { rows, next } = objects::list(&body, page).map_err(Untold::from)?;
        let mut items = Vec::new();
        for row in rows {
            let told = subscriptions::read(row.get().as_bytes());
            match told.and_then(|told| told.find(&self.meters)) {
                Ok(subscription) => items.push(subscription),
                Err(why) => self.pass_over(Untold::Unreadable(why))?,
            }
        }
        Ok(answered(&inquiry, Page { items, next }))
    }

    async fn invoice(&self, id: &InvoiceId) -> Result<Answered<Option<Invoice>>, Answer> {
        let mut inquiry = self.inquiry();
        let body = inquiry.find(&["invoices", id.as_str()], "").await.map_err(Untold::from)?;
        let Some(body) = body else { return Ok(answered(&inquiry, None)) };
        let invoice = self.invoice_of(&mut inquiry, &body).await?;
        if invoice.id != *id {
            return Err(Untold::Unreadable(format!("the invoice {id} is another one")).into());
        }
        Ok(answered(&inquiry, Some(invoice)))
    }

    async fn invoices(
        &self,
        since: Timestamp,
        page: Option<&str>,
    ) -> Result<Answered<Page<Invoice>>, Answer> {
        let mut inquiry = self.inquiry();
        let after = since.seconds().to_string();
        let filters = [("date[after]", after.as_str()), NEWEST_FIRST];
        let path = objects::list_path(INVOICES, &filters, page);
        let body = inquiry.get(&path).await.map_err(Untold::from)?;
        let Rows { rows, next } = objects::list(&body, page).map_err(Untold::from)?;
        let mut items = Vec::new();
        for row in rows {
            match self.invoice_of(&mut inquiry, row.get().as_bytes()).await {
                Ok(invoice) => items.push(invoice),
                Err(untold) => self.pass_over(untold)?,
            }
        }
        Ok(answered(&inquiry, Page { items, next }))
    }

    async fn rejections(
        &self,
        _notice: &NoticeId,
    ) -> Result<Answered<Option<RejectionReport>>, Answer> {
        // A usage is taken or refused at once; nothing is announced of it later.
        Ok(answered(&self.inquiry(), None))
    }
}
