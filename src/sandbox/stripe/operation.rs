//! What a request asks for. Here: routes, and the reading of each route's parameters. Never here: a
//! look at the account or the clock. Read next: [`super::gate`].

use std::collections::BTreeMap;

use hyper::Method;

use super::billing_request::{BillingOperation, BillingRoute};
use super::feed::{FeedOperation, FeedRoute};
use super::form::Params;
use super::meter::{
    DISPLAY_NAME_LENGTH_MAX, Formula, NAME_LENGTH_MAX, NewMeter, TimeWindow, customer_key_default,
    value_key_default,
};
use super::refusal::Refusal;
use super::second::{SecondOperation, SecondRoute};

/// The longest object id, in characters.
pub(super) const ID_LENGTH_MAX: usize = 5_000;
/// Rows on a page unless the request says otherwise.
const PAGE_ROWS_DEFAULT: usize = 10;
/// Rows on a page at most.
const PAGE_ROWS_MAX: i64 = 100;

/// A path this stand-in serves, with the id in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Account,
    CreateEvent,
    CancelEvent,
    CreateMeter,
    ListMeters,
    RetrieveMeter(String),
    UpdateMeter(String),
    DeactivateMeter(String),
    ReactivateMeter(String),
    Summaries(String),
    Billing(BillingRoute),
    Feed(FeedRoute),
    Second(SecondRoute),
    Unknown,
}

impl Route {
    pub(super) fn find(method: &Method, path: &str) -> Self {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        if let Some(route) = BillingRoute::find(method, &parts) {
            return Self::Billing(route);
        }
        if let Some(route) = FeedRoute::find(method, &parts) {
            return Self::Feed(route);
        }
        if let Some(route) = SecondRoute::find(method, &parts) {
            return Self::Second(route);
        }
        let is_get = *method == Method::GET;
        if !is_get && *method != Method::POST {
            return Self::Unknown;
        }
        match (is_get, parts.as_slice()) {
            (true, ["v1", "account"]) => Self::Account,
            (false, ["v1", "billing", "meter_events"]) => Self::CreateEvent,
            (false, ["v1", "billing", "meter_event_adjustments"]) => Self::CancelEvent,
            (true, ["v1", "billing", "meters"]) => Self::ListMeters,
            (false, ["v1", "billing", "meters"]) => Self::CreateMeter,
            (true, ["v1", "billing", "meters", id]) => Self::RetrieveMeter((*id).to_owned()),
            (false, ["v1", "billing", "meters", id]) => Self::UpdateMeter((*id).to_owned()),
            (false, ["v1", "billing", "meters", id, "deactivate"]) => {
                Self::DeactivateMeter((*id).to_owned())
            }
            (false, ["v1", "billing", "meters", id, "reactivate"]) => {
                Self::ReactivateMeter((*id).to_owned())
            }
            (true, ["v1", "billing", "meters", id, "event_summaries"]) => {
                Self::Summaries((*id).to_owned())
            }
            _ => Self::Unknown,
        }
    }

    /// The name under which requests are counted.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Account => "GET /v1/account",
            Self::CreateEvent => "POST /v1/billing/meter_events",
            Self::CancelEvent => "POST /v1/billing/meter_event_adjustments",
            Self::CreateMeter => "POST /v1/billing/meters",
            Self::ListMeters => "GET /v1/billing/meters",
            Self::RetrieveMeter(_) => "GET /v1/billing/meters/{id}",
            Self::UpdateMeter(_) => "POST /v1/billing/meters/{id}",
            Self::DeactivateMeter(_) => "POST /v1/billing/meters/{id}/deactivate",
            Self::ReactivateMeter(_) => "POST /v1/billing/meters/{id}/reactivate",
            Self::Summaries(_) => "GET /v1/billing/meters/{id}/event_summaries",
            Self::Billing(route) => route.name(),
            Self::Feed(route) => route.name(),
            Self::Second(route) => route.name(),
            Self::Unknown => "unknown",
        }
    }
}

/// A meter event as it was sent.
#[derive(Clone, Debug)]
pub(super) struct NewEvent {
    pub(super) event_name: String,
    pub(super) payload: BTreeMap<String, String>,
    pub(super) identifier: Option<String>,
    pub(super) timestamp: Option<i64>,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) limit: usize,
    pub(super) starting_after: Option<String>,
    pub(super) ending_before: Option<String>,
}

/// What to sum up.
#[derive(Clone, Debug)]
pub(super) struct SummaryQuery {
    pub(super) customer: String,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) grouping: Option<TimeWindow>,
    pub(super) page: Page,
}

/// A request whose parameters are sound by themselves.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Account,
    CreateEvent(NewEvent),
    CancelEvent { event_name: String, identifier: String },
    CreateMeter(NewMeter),
    ListMeters { active: Option<bool>, page: Page },
    RetrieveMeter(String),
    UpdateMeter { id: String, display_name: Option<String> },
    DeactivateMeter(String),
    ReactivateMeter(String),
    Summaries { id: String, query: SummaryQuery },
    Billing(BillingOperation),
    Feed(FeedOperation),
    Second(SecondOperation),
}

impl Operation {
    /// Reads what `route` asks for. `path` is only for the message about an unknown one.
    pub(super) fn read(
        route: Route,
        mut params: Params,
        method: &Method,
        path: &str,
    ) -> Result<Self, Refusal> {
        let params_in = &mut params;
        let operation = match route {
            Route::Account => Self::Account,
            Route::CreateEvent => Self::CreateEvent(read_event(params_in)?),
            Route::CancelEvent => read_cancel(params_in)?,
            Route::CreateMeter => Self::CreateMeter(read_meter(params_in)?),
            Route::ListMeters => Self::ListMeters {
                active: params_in.word("status", &[("active", true), ("inactive", false)])?,
                page: read_page(params_in)?,
            },
            Route::RetrieveMeter(id) => Self::RetrieveMeter(id),
            Route::UpdateMeter(id) => Self::UpdateMeter {
                id,
                display_name: params_in.text("display_name", DISPLAY_NAME_LENGTH_MAX)?,
            },
            Route::DeactivateMeter(id) => Self::DeactivateMeter(id),
            Route::ReactivateMeter(id) => Self::ReactivateMeter(id),
            Route::Summaries(id) => Self::Summaries { id, query: read_summary(params_in)? },
            Route::Billing(route) => Self::Billing(BillingOperation::read(route, params_in)?),
            Route::Feed(route) => Self::Feed(FeedOperation::read(route, params_in)?),
            // Its requests are no forms.
            Route::Second(_) => return Err(Refusal::internal()),
            Route::Unknown => return Err(Refusal::no_route(method.as_str(), path)),
        };
        params.finish()?;
        Ok(operation)
    }

    /// Whether it may change something.
    pub(super) const fn is_write(&self) -> bool {
        match self {
            Self::Account
            | Self::ListMeters { .. }
            | Self::RetrieveMeter(_)
            | Self::Summaries { .. }
            | Self::Feed(_) => false,
            Self::CreateEvent(_)
            | Self::CancelEvent { .. }
            | Self::CreateMeter(_)
            | Self::UpdateMeter { .. }
            | Self::DeactivateMeter(_)
            | Self::ReactivateMeter(_)
            | Self::Second(_) => true,
            Self::Billing(operation) => operation.is_write(),
        }
    }
}

fn read_event(params: &mut Params) -> Result<NewEvent, Refusal> {
    let event_name = params.required("event_name", NAME_LENGTH_MAX)?;
    let payload = params.map("payload")?;
    if payload.is_empty() {
        return Err(Refusal::missing("payload"));
    }
    let identifier = params.text("identifier", NAME_LENGTH_MAX)?;
    let timestamp = params.integer("timestamp")?;
    Ok(NewEvent { event_name, payload, identifier, timestamp })
}

fn read_cancel(params: &mut Params) -> Result<Operation, Refusal> {
    let event_name = params.required("event_name", NAME_LENGTH_MAX)?;
    if params.word("type", &[("cancel", ())])?.is_none() {
        return Err(Refusal::missing("type"));
    }
    // The schema leaves the identifier optional, but without one nothing could be cancelled.
    let identifier = params.required("cancel[identifier]", NAME_LENGTH_MAX)?;
    Ok(Operation::CancelEvent { event_name, identifier })
}

fn read_meter(params: &mut Params) -> Result<NewMeter, Refusal> {
    let formula_name = "default_aggregation[formula]";
    let formula = params.word(formula_name, &Formula::WORDS)?;
    let mapping = params.word("customer_mapping[type]", &[("by_id", ())])?;
    let customer_key = params.text("customer_mapping[event_payload_key]", NAME_LENGTH_MAX)?;
    match (mapping, &customer_key) {
        (Some(()), Some(_)) | (None, None) => {}
        (Some(()), None) => {
            return Err(Refusal::missing("customer_mapping[event_payload_key]"));
        }
        (None, Some(_)) => return Err(Refusal::missing("customer_mapping[type]")),
    }
    let value_key = params.text("value_settings[event_payload_key]", NAME_LENGTH_MAX)?;
    Ok(NewMeter {
        display_name: params.required("display_name", DISPLAY_NAME_LENGTH_MAX)?,
        event_name: params.required("event_name", NAME_LENGTH_MAX)?,
        formula: formula.ok_or_else(|| Refusal::missing(formula_name))?,
        event_time_window: params.word("event_time_window", &TimeWindow::WORDS)?,
        customer_key: customer_key.unwrap_or_else(customer_key_default),
        value_key: value_key.unwrap_or_else(value_key_default),
    })
}

fn read_summary(params: &mut Params) -> Result<SummaryQuery, Refusal> {
    let query = SummaryQuery {
        customer: params.required("customer", ID_LENGTH_MAX)?,
        start: params.integer("start_time")?.ok_or_else(|| Refusal::missing("start_time"))?,
        end: params.integer("end_time")?.ok_or_else(|| Refusal::missing("end_time"))?,
        grouping: params.word("value_grouping_window", &TimeWindow::WORDS)?,
        page: read_page(params)?,
    };
    let (unit, seconds) = match query.grouping {
        None => ("minute", 60),
        Some(window) => (window.name(), window.seconds()),
    };
    for (name, at) in [("start_time", query.start), ("end_time", query.end)] {
        if at.rem_euclid(seconds) != 0 {
            let message = format!("{name} must be aligned with {unit} boundaries, and {at} is not");
            return Err(Refusal::invalid(message).param(name));
        }
    }
    if query.start >= query.end {
        let message = "start_time must be before end_time";
        return Err(Refusal::invalid(message).param("start_time"));
    }
    Ok(query)
}

pub(super) fn read_page(params: &mut Params) -> Result<Page, Refusal> {
    let limit = match params.integer("limit")? {
        None => PAGE_ROWS_DEFAULT,
        Some(limit) if (1..=PAGE_ROWS_MAX).contains(&limit) => {
            usize::try_from(limit).unwrap_or(PAGE_ROWS_DEFAULT)
        }
        Some(limit) => {
            let message = format!("Invalid limit {limit}: must be 1 to {PAGE_ROWS_MAX}");
            return Err(Refusal::invalid(message).param("limit"));
        }
    };
    let starting_after = params.text("starting_after", ID_LENGTH_MAX)?;
    let ending_before = params.text("ending_before", ID_LENGTH_MAX)?;
    if starting_after.is_some() && ending_before.is_some() {
        let message = "Only one of starting_after and ending_before can be given";
        return Err(Refusal::invalid(message).param("ending_before"));
    }
    Ok(Page { limit, starting_after, ending_before })
}
