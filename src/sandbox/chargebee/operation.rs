//! What a request asks for. Here: routes, and the reading of each route's parameters. Never here: a
//! look at the site or the clock. Read next: [`super::gate`].

use hyper::Method;

use super::documents;
use super::form::Params;
use super::ingest::{self, Asked, Sent};
use super::quantity;
use super::query::{By, Query, Shape};
use super::refusal::Refusal;
use crate::sandbox::wire::Request;

/// The longest id, in characters: Chargebee's own limit.
pub(super) const ID_LENGTH_MAX: usize = 100;
/// The longest note of a usage, in characters: Chargebee's own limit.
pub(super) const NOTE_LENGTH_MAX: usize = 500;
/// The longest comment on an invoice, in characters: Chargebee's own limit.
const COMMENT_LENGTH_MAX: usize = 300;
/// The longest note on an invoice, in characters. Chargebee publishes no figure.
const INVOICE_NOTE_LENGTH_MAX: usize = 2_000;
/// Lines that an invoice shows at once.
const LINES_SHOWN_MAX: i64 = 300;

/// The statuses that a subscription can be asked for by.
const SUBSCRIPTION_STATUSES: &[&str] =
    &["future", "in_trial", "active", "non_renewing", "paused", "cancelled", "transferred"];
/// Those of an invoice.
const INVOICE_STATUSES: &[&str] =
    &["paid", "posted", "payment_due", "not_paid", "voided", "pending"];
/// Those of an event's delivery.
const WEBHOOK_STATUSES: &[&str] = &[
    "not_configured",
    "scheduled",
    "succeeded",
    "re_scheduled",
    "failed",
    "skipped",
    "not_applicable",
    "disabled",
    "rate_limited",
];

const USAGES: Shape = Shape {
    filters: &[
        ("id", By::Text),
        ("subscription_id", By::Text),
        ("item_price_id", By::Text),
        ("invoice_id", By::TextOrNone),
        ("source", By::Word(&["admin_console", "api", "bulk_operation"])),
        ("usage_date", By::Time),
        ("updated_at", By::Time),
    ],
    sorts: &["usage_date", "updated_at"],
    shows_deleted: false,
};
const SUBSCRIPTIONS: Shape = Shape {
    filters: &[
        ("id", By::Texts),
        ("customer_id", By::Texts),
        ("item_id", By::Texts),
        ("item_price_id", By::Texts),
        ("status", By::Word(SUBSCRIPTION_STATUSES)),
        ("created_at", By::Time),
        ("activated_at", By::Time),
        ("next_billing_at", By::Time),
        ("cancelled_at", By::Time),
        ("updated_at", By::Time),
    ],
    sorts: &["created_at", "updated_at"],
    shows_deleted: true,
};
const ITEMS: Shape = Shape {
    filters: &[
        ("id", By::Texts),
        ("type", By::Word(&["plan", "addon", "charge"])),
        ("status", By::Word(&["active", "archived", "deleted"])),
        ("updated_at", By::Time),
    ],
    sorts: &["updated_at"],
    shows_deleted: false,
};
const ITEM_PRICES: Shape = Shape {
    filters: &[
        ("id", By::Texts),
        ("item_id", By::Texts),
        ("item_type", By::Word(&["plan", "addon", "charge"])),
        ("status", By::Word(&["active", "archived", "deleted"])),
        ("updated_at", By::Time),
    ],
    sorts: &["updated_at"],
    shows_deleted: false,
};
const INVOICES: Shape = Shape {
    filters: &[
        ("id", By::Texts),
        ("subscription_id", By::Texts),
        ("customer_id", By::Texts),
        ("status", By::Word(INVOICE_STATUSES)),
        ("date", By::Time),
        ("updated_at", By::Time),
        ("voided_at", By::Time),
    ],
    sorts: &["date", "updated_at"],
    shows_deleted: true,
};
const EVENTS: Shape = Shape {
    filters: &[
        ("id", By::Texts),
        ("event_type", By::Texts),
        ("source", By::Texts),
        ("webhook_status", By::Word(WEBHOOK_STATUSES)),
        ("occurred_at", By::Time),
    ],
    sorts: &["occurred_at"],
    shows_deleted: false,
};

/// What can be done to an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvoiceAct {
    Close,
    Void,
    Delete,
    SyncUsages,
}

/// A path this stand-in serves, with the id in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    CreateUsage(String),
    RetrieveUsage(String),
    DeleteUsage(String),
    ListUsages,
    UsagePdf,
    ListSubscriptions,
    RetrieveSubscription(String),
    ListItems,
    RetrieveItem(String),
    ListItemPrices,
    RetrieveItemPrice(String),
    Configurations,
    ListInvoices,
    RetrieveInvoice(String),
    ChangeInvoice(String, InvoiceAct),
    ListEvents,
    RetrieveEvent(String),
    IngestOne,
    IngestSeveral,
    UsageSummary(String),
    /// The path is known, and not by this method.
    WrongMethod,
    Unknown,
}

impl Route {
    pub(super) fn find(method: &Method, path: &str) -> Self {
        let Some(path) = path.strip_prefix("/api/v2/") else { return Self::Unknown };
        let parts: Vec<&str> = path.split('/').collect();
        let (get, post) = (*method == Method::GET, *method == Method::POST);
        let route = match parts.as_slice() {
            ["usages"] => (get, Self::ListUsages),
            ["usages", "pdf"] => (post, Self::UsagePdf),
            ["subscriptions"] => (get, Self::ListSubscriptions),
            ["subscriptions", id] => (get, Self::RetrieveSubscription(decoded(id))),
            ["subscriptions", id, "usages"] if post => (true, Self::CreateUsage(decoded(id))),
            ["subscriptions", id, "usages"] => (get, Self::RetrieveUsage(decoded(id))),
            ["subscriptions", id, "delete_usage"] => (post, Self::DeleteUsage(decoded(id))),
            ["subscriptions", id, "usage_summary"] => (get, Self::UsageSummary(decoded(id))),
            ["usage_events"] => (post, Self::IngestOne),
            ["batch", "usage_events"] => (post, Self::IngestSeveral),
            ["items"] => (get, Self::ListItems),
            ["items", id] => (get, Self::RetrieveItem(decoded(id))),
            ["item_prices"] => (get, Self::ListItemPrices),
            ["item_prices", id] => (get, Self::RetrieveItemPrice(decoded(id))),
            ["configurations"] => (get, Self::Configurations),
            ["invoices"] => (get, Self::ListInvoices),
            ["invoices", id] => (get, Self::RetrieveInvoice(decoded(id))),
            ["invoices", id, act] => match act_of(act) {
                Some(act) => (post, Self::ChangeInvoice(decoded(id), act)),
                None => (true, Self::Unknown),
            },
            ["events"] => (get, Self::ListEvents),
            ["events", id] => (get, Self::RetrieveEvent(decoded(id))),
            _ => (true, Self::Unknown),
        };
        if route.0 { route.1 } else { Self::WrongMethod }
    }

    /// The name under which requests are counted.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::CreateUsage(_) => "POST /subscriptions/{id}/usages",
            Self::RetrieveUsage(_) => "GET /subscriptions/{id}/usages",
            Self::DeleteUsage(_) => "POST /subscriptions/{id}/delete_usage",
            Self::ListUsages => "GET /usages",
            Self::UsagePdf => "POST /usages/pdf",
            Self::ListSubscriptions => "GET /subscriptions",
            Self::RetrieveSubscription(_) => "GET /subscriptions/{id}",
            Self::ListItems => "GET /items",
            Self::RetrieveItem(_) => "GET /items/{id}",
            Self::ListItemPrices => "GET /item_prices",
            Self::RetrieveItemPrice(_) => "GET /item_prices/{id}",
            Self::Configurations => "GET /configurations",
            Self::ListInvoices => "GET /invoices",
            Self::RetrieveInvoice(_) => "GET /invoices/{id}",
            Self::ChangeInvoice(_, InvoiceAct::Close) => "POST /invoices/{id}/close",
            Self::ChangeInvoice(_, InvoiceAct::Void) => "POST /invoices/{id}/void",
            Self::ChangeInvoice(_, InvoiceAct::Delete) => "POST /invoices/{id}/delete",
            Self::ChangeInvoice(_, InvoiceAct::SyncUsages) => "POST /invoices/{id}/sync_usages",
            Self::ListEvents => "GET /events",
            Self::RetrieveEvent(_) => "GET /events/{id}",
            Self::IngestOne => "POST /usage_events",
            Self::IngestSeveral => "POST /batch/usage_events",
            Self::UsageSummary(_) => "GET /subscriptions/{id}/usage_summary",
            Self::WrongMethod => "wrong method",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it is the ingest host's: that takes JSON, and has a limit of its own.
    pub(super) const fn is_of_ingest(&self) -> bool {
        matches!(self, Self::IngestOne | Self::IngestSeveral)
    }
}

fn act_of(word: &str) -> Option<InvoiceAct> {
    match word {
        "close" => Some(InvoiceAct::Close),
        "void" => Some(InvoiceAct::Void),
        "delete" => Some(InvoiceAct::Delete),
        "sync_usages" => Some(InvoiceAct::SyncUsages),
        _ => None,
    }
}

/// A part of a path as it is meant: clients escape what an id may hold. What is no text stays as it
/// is, and then names nothing.
fn decoded(part: &str) -> String {
    // A plus is a plus in a path, and would be a space in a form.
    let form = format!("id={}", part.replace('+', "%2B").replace('&', "%26"));
    let value = form_urlencoded::parse(form.as_bytes()).next();
    value.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// A usage as it was sent.
#[derive(Clone, Debug)]
pub(super) struct NewUsage {
    pub(super) subscription: String,
    pub(super) id: Option<String>,
    pub(super) item_price: String,
    pub(super) quantity: String,
    pub(super) usage_date: i64,
    pub(super) note: Option<String>,
}

/// Which lines of an invoice to show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pub(super) limit: usize,
    pub(super) offset: usize,
}

/// A request whose parameters are sound by themselves.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    CreateUsage(NewUsage),
    RetrieveUsage {
        subscription: String,
        id: String,
    },
    DeleteUsage {
        subscription: String,
        id: String,
    },
    ListUsages(Query),
    /// Of the invoice of this id.
    UsagePdf(String),
    ListSubscriptions(Query),
    RetrieveSubscription(String),
    ListItems(Query),
    RetrieveItem(String),
    ListItemPrices(Query),
    RetrieveItemPrice(String),
    Configurations,
    ListInvoices(Query),
    RetrieveInvoice(String, Lines),
    ChangeInvoice(String, InvoiceAct),
    ListEvents(Query),
    RetrieveEvent(String),
    IngestOne(Sent),
    IngestSeveral(Vec<Sent>),
    /// Of the subscription of this id.
    UsageSummary(String, Asked),
}

impl Operation {
    /// Reads what `route` asks for. Of the request itself, only the ingest host reads the body.
    pub(super) fn read(
        route: Route,
        mut params: Params,
        request: &Request,
    ) -> Result<Self, Refusal> {
        let read = &mut params;
        let operation = match route {
            Route::CreateUsage(subscription) => Self::CreateUsage(read_usage(subscription, read)?),
            Route::RetrieveUsage(subscription) => {
                Self::RetrieveUsage { subscription, id: read.required("id", ID_LENGTH_MAX)? }
            }
            Route::DeleteUsage(subscription) => {
                Self::DeleteUsage { subscription, id: read.required("id", ID_LENGTH_MAX)? }
            }
            Route::ListUsages => Self::ListUsages(Query::read(read, &USAGES)?),
            Route::UsagePdf => Self::UsagePdf(read_pdf(read)?),
            Route::ListSubscriptions => Self::ListSubscriptions(Query::read(read, &SUBSCRIPTIONS)?),
            Route::RetrieveSubscription(id) => Self::RetrieveSubscription(id),
            Route::ListItems => Self::ListItems(Query::read(read, &ITEMS)?),
            Route::RetrieveItem(id) => Self::RetrieveItem(id),
            Route::ListItemPrices => Self::ListItemPrices(Query::read(read, &ITEM_PRICES)?),
            Route::RetrieveItemPrice(id) => Self::RetrieveItemPrice(id),
            Route::Configurations => Self::Configurations,
            Route::ListInvoices => Self::ListInvoices(Query::read(read, &INVOICES)?),
            Route::RetrieveInvoice(id) => Self::RetrieveInvoice(id, read_lines(read)?),
            Route::ChangeInvoice(id, act) => {
                read_remarks(act, read)?;
                Self::ChangeInvoice(id, act)
            }
            Route::ListEvents => Self::ListEvents(Query::read(read, &EVENTS)?),
            Route::RetrieveEvent(id) => Self::RetrieveEvent(id),
            Route::IngestOne => Self::IngestOne(ingest::one(&request.body)?),
            Route::IngestSeveral => Self::IngestSeveral(ingest::several(&request.body)?),
            Route::UsageSummary(id) => Self::UsageSummary(id, ingest::asked(read)?),
            Route::WrongMethod => return Err(Refusal::wrong_method(request.method.as_str())),
            Route::Unknown => return Err(Refusal::no_route(&request.path)),
        };
        params.finish()?;
        Ok(operation)
    }

    /// Whether it may change something.
    pub(super) const fn is_write(&self) -> bool {
        match self {
            Self::CreateUsage(_)
            | Self::DeleteUsage { .. }
            | Self::ChangeInvoice(..)
            | Self::IngestOne(_)
            | Self::IngestSeveral(_) => true,
            // It makes a file, which changes nothing of what is billed.
            Self::UsagePdf(_)
            | Self::RetrieveUsage { .. }
            | Self::ListUsages(_)
            | Self::ListSubscriptions(_)
            | Self::RetrieveSubscription(_)
            | Self::ListItems(_)
            | Self::RetrieveItem(_)
            | Self::ListItemPrices(_)
            | Self::RetrieveItemPrice(_)
            | Self::Configurations
            | Self::ListInvoices(_)
            | Self::RetrieveInvoice(..)
            | Self::UsageSummary(..)
            | Self::ListEvents(_)
            | Self::RetrieveEvent(_) => false,
        }
    }

    /// Whether it is part of the API that a site may be without.
    pub(super) const fn is_about_usages(&self) -> bool {
        match self {
            Self::CreateUsage(_)
            | Self::DeleteUsage { .. }
            | Self::RetrieveUsage { .. }
            | Self::ListUsages(_)
            | Self::UsagePdf(_)
            | Self::ChangeInvoice(_, InvoiceAct::SyncUsages) => true,
            Self::ChangeInvoice(_, InvoiceAct::Close | InvoiceAct::Void | InvoiceAct::Delete)
            | Self::ListSubscriptions(_)
            | Self::RetrieveSubscription(_)
            | Self::ListItems(_)
            | Self::RetrieveItem(_)
            | Self::ListItemPrices(_)
            | Self::RetrieveItemPrice(_)
            | Self::Configurations
            | Self::ListInvoices(_)
            | Self::RetrieveInvoice(..)
            | Self::IngestOne(_)
            | Self::IngestSeveral(_)
            | Self::UsageSummary(..)
            | Self::ListEvents(_)
            | Self::RetrieveEvent(_) => false,
        }
    }
}

fn read_usage(subscription: String, params: &mut Params) -> Result<NewUsage, Refusal> {
    let missing = || Refusal::wrong_value("usage_date", "cannot be blank");
    let usage_date = params.integer("usage_date")?.ok_or_else(missing)?;
    if usage_date < 0 {
        return Err(Refusal::wrong_value("usage_date", "is no time in seconds"));
    }
    Ok(NewUsage {
        subscription,
        id: params.text("id", ID_LENGTH_MAX)?,
        item_price: params.required("item_price_id", ID_LENGTH_MAX)?,
        quantity: params.required("quantity", quantity::LENGTH_MAX)?,
        usage_date,
        note: params.text("note", NOTE_LENGTH_MAX)?,
    })
}

/// The invoice whose usages are asked for. How the answer is to be shown by a browser is taken, and
/// means nothing here.
fn read_pdf(params: &mut Params) -> Result<String, Refusal> {
    let disposition = params.text("disposition_type", ID_LENGTH_MAX)?;
    if disposition.is_some_and(|word| !matches!(word.as_str(), "attachment" | "inline")) {
        return Err(Refusal::wrong_value("disposition_type", "is neither attachment nor inline"));
    }
    params.required("invoice[id]", documents::INVOICE_ID_LENGTH_MAX)
}

fn read_lines(params: &mut Params) -> Result<Lines, Refusal> {
    let limit = params.integer("line_items_limit")?.unwrap_or(LINES_SHOWN_MAX);
    if !(1..=LINES_SHOWN_MAX).contains(&limit) {
        let message = format!("must be 1 to {LINES_SHOWN_MAX}");
        return Err(Refusal::wrong_value("line_items_limit", message));
    }
    let offset = params.integer("line_items_offset")?.unwrap_or(0);
    let wrong = |_| Refusal::wrong_value("line_items_offset", "is none that was given out");
    Ok(Lines {
        limit: usize::try_from(limit).unwrap_or(1),
        offset: usize::try_from(offset).map_err(wrong)?,
    })
}

/// What can be said about a change of an invoice; none of it is kept.
fn read_remarks(act: InvoiceAct, params: &mut Params) -> Result<(), Refusal> {
    match act {
        InvoiceAct::Close => {
            params.text("invoice_note", INVOICE_NOTE_LENGTH_MAX)?;
            params.flag("remove_general_note")?;
        }
        InvoiceAct::Void => drop(params.text("void_reason_code", ID_LENGTH_MAX)?),
        InvoiceAct::Delete => {}
        InvoiceAct::SyncUsages => return Ok(()),
    }
    params.text("comment", COMMENT_LENGTH_MAX)?;
    Ok(())
}
