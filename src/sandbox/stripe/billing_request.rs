//! What a request about customers and what they pay asks for. Here: its routes and parameters.
//! Never here: a look at the account or the clock. Read next: [`super::billing`].

use std::ops::Range;
use std::str::FromStr;

use bigdecimal::BigDecimal;
use hyper::Method;

use super::customers::CustomerParts;
use super::form::Params;
use super::invoices::InvoiceStatus;
use super::meter::NAME_LENGTH_MAX;
use super::operation::{ID_LENGTH_MAX, Page, read_page};
use super::prices::NewPrice;
use super::refusal::Refusal;
use super::subscriptions::{Ending, ItemChange, NewSubscription, Status, SubscriptionChanges};

/// The longest name and address of a customer, in characters.
const CUSTOMER_TEXT_LENGTH_MAX: usize = 512;

/// A path about customers, prices or subscriptions, with the id in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BillingRoute {
    CreateCustomer,
    ListCustomers,
    RetrieveCustomer(String),
    UpdateCustomer(String),
    DeleteCustomer(String),
    CreatePrice,
    RetrievePrice(String),
    CreateSubscription,
    ListSubscriptions,
    RetrieveSubscription(String),
    UpdateSubscription(String),
    CancelSubscription(String),
    PauseSubscription(String),
    ResumeSubscription(String),
    ListInvoices,
    RetrieveInvoice(String),
    ListLines(String),
}

impl BillingRoute {
    pub(super) fn find(method: &Method, parts: &[&str]) -> Option<Self> {
        let ["v1", parts @ ..] = parts else { return None };
        let own = |id: &str| id.to_owned();
        Some(match (method.as_str(), parts) {
            ("POST", ["customers"]) => Self::CreateCustomer,
            ("GET", ["customers"]) => Self::ListCustomers,
            ("GET", ["customers", id]) => Self::RetrieveCustomer(own(id)),
            ("POST", ["customers", id]) => Self::UpdateCustomer(own(id)),
            ("DELETE", ["customers", id]) => Self::DeleteCustomer(own(id)),
            ("POST", ["prices"]) => Self::CreatePrice,
            ("GET", ["prices", id]) => Self::RetrievePrice(own(id)),
            ("POST", ["subscriptions"]) => Self::CreateSubscription,
            ("GET", ["subscriptions"]) => Self::ListSubscriptions,
            ("GET", ["subscriptions", id]) => Self::RetrieveSubscription(own(id)),
            ("POST", ["subscriptions", id]) => Self::UpdateSubscription(own(id)),
            ("DELETE", ["subscriptions", id]) => Self::CancelSubscription(own(id)),
            ("POST", ["subscriptions", id, "pause"]) => Self::PauseSubscription(own(id)),
            ("POST", ["subscriptions", id, "resume"]) => Self::ResumeSubscription(own(id)),
            ("GET", ["invoices"]) => Self::ListInvoices,
            ("GET", ["invoices", id]) => Self::RetrieveInvoice(own(id)),
            ("GET", ["invoices", id, "lines"]) => Self::ListLines(own(id)),
            _ => return None,
        })
    }

    /// The name under which requests are counted.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::CreateCustomer => "POST /v1/customers",
            Self::ListCustomers => "GET /v1/customers",
            Self::RetrieveCustomer(_) => "GET /v1/customers/{id}",
            Self::UpdateCustomer(_) => "POST /v1/customers/{id}",
            Self::DeleteCustomer(_) => "DELETE /v1/customers/{id}",
            Self::CreatePrice => "POST /v1/prices",
            Self::RetrievePrice(_) => "GET /v1/prices/{id}",
            Self::CreateSubscription => "POST /v1/subscriptions",
            Self::ListSubscriptions => "GET /v1/subscriptions",
            Self::RetrieveSubscription(_) => "GET /v1/subscriptions/{id}",
            Self::UpdateSubscription(_) => "POST /v1/subscriptions/{id}",
            Self::CancelSubscription(_) => "DELETE /v1/subscriptions/{id}",
            Self::PauseSubscription(_) => "POST /v1/subscriptions/{id}/pause",
            Self::ResumeSubscription(_) => "POST /v1/subscriptions/{id}/resume",
            Self::ListInvoices => "GET /v1/invoices",
            Self::RetrieveInvoice(_) => "GET /v1/invoices/{id}",
            Self::ListLines(_) => "GET /v1/invoices/{id}/lines",
        }
    }
}

/// Which subscriptions to list.
#[derive(Clone, Debug)]
pub(super) struct SubscriptionQuery {
    pub(super) customer: Option<String>,
    pub(super) price: Option<String>,
    pub(super) statuses: &'static [Status],
    pub(super) created: Range<i64>,
    pub(super) page: Page,
}

/// Which invoices to list.
#[derive(Clone, Debug)]
pub(super) struct InvoiceQuery {
    pub(super) customer: Option<String>,
    pub(super) subscription: Option<String>,
    /// `None` lists them all; `Some(None)` those in a state that nothing here ever has.
    pub(super) status: Option<Option<InvoiceStatus>>,
    pub(super) created: Range<i64>,
    pub(super) page: Page,
}

/// A request about customers and what they pay whose parameters are sound by themselves.
#[derive(Clone, Debug)]
pub(super) enum BillingOperation {
    CreateCustomer(CustomerParts),
    ListCustomers(Page),
    RetrieveCustomer(String),
    UpdateCustomer(String, CustomerParts),
    DeleteCustomer(String),
    CreatePrice(NewPrice),
    RetrievePrice(String),
    CreateSubscription(NewSubscription),
    ListSubscriptions(SubscriptionQuery),
    RetrieveSubscription(String),
    UpdateSubscription(String, SubscriptionChanges),
    CancelSubscription { id: String, invoice_now: bool },
    PauseSubscription(String),
    ResumeSubscription { id: String, keeps_anchor: bool },
    ListInvoices(InvoiceQuery),
    RetrieveInvoice(String),
    ListLines(String, Page),
}

impl BillingOperation {
    pub(super) fn read(route: BillingRoute, params: &mut Params) -> Result<Self, Refusal> {
        Ok(match route {
            BillingRoute::CreateCustomer => Self::CreateCustomer(read_customer(params)?),
            BillingRoute::ListCustomers => Self::ListCustomers(read_page(params)?),
            BillingRoute::RetrieveCustomer(id) => Self::RetrieveCustomer(id),
            BillingRoute::UpdateCustomer(id) => Self::UpdateCustomer(id, read_customer(params)?),
            BillingRoute::DeleteCustomer(id) => Self::DeleteCustomer(id),
            BillingRoute::CreatePrice => Self::CreatePrice(read_price(params)?),
            BillingRoute::RetrievePrice(id) => Self::RetrievePrice(id),
            BillingRoute::CreateSubscription => {
                Self::CreateSubscription(read_subscription(params)?)
            }
            BillingRoute::ListSubscriptions => Self::ListSubscriptions(read_list(params)?),
            BillingRoute::RetrieveSubscription(id) => Self::RetrieveSubscription(id),
            BillingRoute::UpdateSubscription(id) => {
                Self::UpdateSubscription(id, read_changes(params)?)
            }
            BillingRoute::CancelSubscription(id) => {
                // Nothing here is paid ahead, so there is nothing to give back.
                params.flag("prorate")?;
                let invoice_now = params.flag("invoice_now")?.unwrap_or(false);
                Self::CancelSubscription { id, invoice_now }
            }
            BillingRoute::PauseSubscription(id) => Self::PauseSubscription(id),
            BillingRoute::ResumeSubscription(id) => {
                let words = [("now", false), ("unchanged", true)];
                let keeps_anchor = params.word("billing_cycle_anchor", &words)?.unwrap_or(false);
                Self::ResumeSubscription { id, keeps_anchor }
            }
            BillingRoute::ListInvoices => Self::ListInvoices(read_invoices(params)?),
            BillingRoute::RetrieveInvoice(id) => Self::RetrieveInvoice(id),
            BillingRoute::ListLines(id) => Self::ListLines(id, read_page(params)?),
        })
    }

    /// Whether it may change something.
    pub(super) const fn is_write(&self) -> bool {
        match self {
            Self::ListCustomers(_)
            | Self::RetrieveCustomer(_)
            | Self::RetrievePrice(_)
            | Self::ListSubscriptions(_)
            | Self::RetrieveSubscription(_)
            | Self::ListInvoices(_)
            | Self::RetrieveInvoice(_)
            | Self::ListLines(..) => false,
            Self::CreateCustomer(_)
            | Self::UpdateCustomer(..)
            | Self::DeleteCustomer(_)
            | Self::CreatePrice(_)
            | Self::CreateSubscription(_)
            | Self::UpdateSubscription(..)
            | Self::CancelSubscription { .. }
            | Self::PauseSubscription(_)
            | Self::ResumeSubscription { .. } => true,
        }
    }
}

fn read_customer(params: &mut Params) -> Result<CustomerParts, Refusal> {
    Ok(CustomerParts {
        name: params.text("name", CUSTOMER_TEXT_LENGTH_MAX)?,
        email: params.text("email", CUSTOMER_TEXT_LENGTH_MAX)?,
        metadata: params.map("metadata")?,
    })
}

fn read_price(params: &mut Params) -> Result<NewPrice, Refusal> {
    let named = |name: &'static str, found: Option<()>| found.ok_or(Refusal::missing(name));
    // Only what bills usage by the month: nothing else concerns a meter.
    let interval = params.word("recurring[interval]", &[("month", ())])?;
    named("recurring[interval]", interval)?;
    let usage_type = params.word("recurring[usage_type]", &[("metered", ())])?;
    named("recurring[usage_type]", usage_type)?;
    let (whole, exact) = ("unit_amount", "unit_amount_decimal");
    let name = if params.peek(exact).is_some() { exact } else { whole };
    let text = params.required(name, NAME_LENGTH_MAX)?;
    let wrong = || Refusal::invalid(format!("Invalid decimal: {text}")).param(name);
    let unit_amount = BigDecimal::from_str(&text).map_err(|_| wrong())?;
    if unit_amount < BigDecimal::default() {
        return Err(wrong());
    }
    let product_name = params.text("product_data[name]", CUSTOMER_TEXT_LENGTH_MAX)?;
    let product = params.text("product", ID_LENGTH_MAX)?;
    if product_name.is_some() == product.is_some() {
        let message = "You must specify either product or product_data";
        return Err(Refusal::invalid(message).param("product"));
    }
    Ok(NewPrice {
        meter: params.required("recurring[meter]", ID_LENGTH_MAX)?,
        currency: params.required("currency", NAME_LENGTH_MAX)?,
        unit_amount,
        product,
    })
}

/// How a subscription is to end; `None` when the request does not say.
fn read_ending(params: &mut Params) -> Result<Option<Ending>, Refusal> {
    let at = params.time_or_none("cancel_at")?;
    let at_period_end = params.flag("cancel_at_period_end")?;
    match (at, at_period_end) {
        (None, None) => Ok(None),
        (Some(Some(_)), Some(true)) => {
            let message = "cancel_at and cancel_at_period_end cannot both be set";
            Err(Refusal::invalid(message).param("cancel_at"))
        }
        (Some(Some(at)), Some(false) | None) => Ok(Some(Ending::At(at))),
        (Some(None) | None, Some(true)) => Ok(Some(Ending::PeriodEnd)),
        (Some(None), Some(false) | None) | (None, Some(false)) => Ok(Some(Ending::Never)),
    }
}

fn read_items(params: &mut Params) -> Result<Vec<ItemChange>, Refusal> {
    let mut items = Vec::new();
    for (place, mut row) in params.rows("items")? {
        let deleted = row.remove("deleted");
        let item = (row.remove("id"), row.remove("price"), deleted.as_deref());
        items.push(match item {
            (None, Some(price), None | Some("false")) => ItemChange::Add { price },
            (Some(id), Some(price), None | Some("false")) => ItemChange::Replace { id, price },
            (Some(id), None, Some("true")) => ItemChange::Remove { id },
            (Some(id), None, None | Some("false")) => ItemChange::Keep { id },
            (_, _, Some(_)) | (None, None, None) => {
                let message = "An item has an id, a price, or an id and deleted=true";
                return Err(Refusal::invalid(message).param(format!("items[{place}]")));
            }
        });
        // Whether leftover usage of a removed item is cleared is not offered: it is billed.
        if let Some((key, _)) = row.first_key_value() {
            return Err(Refusal::unknown_param(&format!("items[{place}][{key}]")));
        }
    }
    Ok(items)
}

fn read_subscription(params: &mut Params) -> Result<NewSubscription, Refusal> {
    let mut prices = Vec::new();
    for item in read_items(params)? {
        match item {
            ItemChange::Add { price } => prices.push(price),
            ItemChange::Replace { .. } | ItemChange::Remove { .. } | ItemChange::Keep { .. } => {
                let message = "An item of a new subscription has a price and nothing else";
                return Err(Refusal::invalid(message).param("items"));
            }
        }
    }
    if prices.is_empty() {
        return Err(Refusal::missing("items"));
    }
    Ok(NewSubscription {
        customer: params.required("customer", ID_LENGTH_MAX)?,
        prices,
        anchor: params.integer("billing_cycle_anchor")?,
        ending: read_ending(params)?.unwrap_or(Ending::Never),
        metadata: params.map("metadata")?,
    })
}

fn read_changes(params: &mut Params) -> Result<SubscriptionChanges, Refusal> {
    // Only usage is billed here, and usage is never prorated, whatever a client asks for.
    let proration = [("always_invoice", ()), ("create_prorations", ()), ("none", ())];
    params.word("proration_behavior", &proration)?;
    Ok(SubscriptionChanges {
        items: read_items(params)?,
        ending: read_ending(params)?,
        metadata: params.map("metadata")?,
    })
}

fn read_list(params: &mut Params) -> Result<SubscriptionQuery, Refusal> {
    const ALIVE: &[Status] = &[Status::Active, Status::Paused];
    const ALL: &[Status] = &[Status::Active, Status::Paused, Status::Canceled];
    let words: [(&str, &'static [Status]); 5] = [
        ("active", &[Status::Active]),
        ("paused", &[Status::Paused]),
        ("canceled", &[Status::Canceled]),
        ("ended", &[Status::Canceled]),
        ("all", ALL),
    ];
    Ok(SubscriptionQuery {
        customer: params.text("customer", ID_LENGTH_MAX)?,
        price: params.text("price", ID_LENGTH_MAX)?,
        statuses: params.word("status", &words)?.unwrap_or(ALIVE),
        created: params.span("created", |text| text.parse().ok())?,
        page: read_page(params)?,
    })
}

fn read_invoices(params: &mut Params) -> Result<InvoiceQuery, Refusal> {
    let words = [
        ("draft", Some(InvoiceStatus::Draft)),
        ("open", Some(InvoiceStatus::Open)),
        ("paid", None),
        ("uncollectible", None),
        ("void", None),
    ];
    Ok(InvoiceQuery {
        customer: params.text("customer", ID_LENGTH_MAX)?,
        subscription: params.text("subscription", ID_LENGTH_MAX)?,
        status: params.word("status", &words)?,
        created: params.span("created", |text| text.parse().ok())?,
        page: read_page(params)?,
    })
}
