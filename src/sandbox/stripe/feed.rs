//! Reading what was announced. Here: the routes, parameters and pages of both feeds. Never here:
//! what is announced. Read next: [`super::announcements`].

use std::collections::BTreeSet;
use std::ops::Range;

use hyper::Method;
use serde_json::{Value, json};

use super::announcements::{Announcement, Announcements, Form};
use super::form::Params;
use super::operation::{ID_LENGTH_MAX, Page, read_page};
use super::refusal::Refusal;
use super::summary;
use crate::domain::time::Timestamp;

/// Types that one request may ask for: Stripe's own limit.
const TYPES_MAX: usize = 20;
/// What a token of the second feed's pages begins with.
const TOKEN_PREFIX: &str = "page_";

/// A path about events, with the id in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FeedRoute {
    ListSnapshots,
    RetrieveSnapshot(String),
    ListThin,
    RetrieveThin(String),
}

impl FeedRoute {
    pub(super) fn find(method: &Method, parts: &[&str]) -> Option<Self> {
        if *method != Method::GET {
            return None;
        }
        match parts {
            ["v1", "events"] => Some(Self::ListSnapshots),
            ["v1", "events", id] => Some(Self::RetrieveSnapshot((*id).to_owned())),
            ["v2", "core", "events"] => Some(Self::ListThin),
            ["v2", "core", "events", id] => Some(Self::RetrieveThin((*id).to_owned())),
            _ => None,
        }
    }

    /// The name under which requests are counted.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::ListSnapshots => "GET /v1/events",
            Self::RetrieveSnapshot(_) => "GET /v1/events/{id}",
            Self::ListThin => "GET /v2/core/events",
            Self::RetrieveThin(_) => "GET /v2/core/events/{id}",
        }
    }
}

/// Which events to list.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// None asks for every type.
    types: BTreeSet<String>,
    /// In seconds for snapshots, in microseconds for thin events: each feed's own grain.
    created: Range<i64>,
    about: Option<String>,
}

/// A request about events whose parameters are sound by themselves.
#[derive(Clone, Debug)]
pub(super) enum FeedOperation {
    ListSnapshots(Wanted, Page),
    RetrieveSnapshot(String),
    ListThin(Wanted, Page),
    RetrieveThin(String),
}

impl FeedOperation {
    pub(super) fn read(route: FeedRoute, params: &mut Params) -> Result<Self, Refusal> {
        Ok(match route {
            FeedRoute::ListSnapshots => {
                let mut types = read_types(params)?;
                if let Some(one) = params.text("type", ID_LENGTH_MAX)? {
                    if !types.is_empty() {
                        let message = "Only one of type and types can be given";
                        return Err(Refusal::invalid(message).param("type"));
                    }
                    types.insert(one);
                }
                let created = params.span("created", |text| text.parse().ok())?;
                let wanted = Wanted { types, created, about: None };
                Self::ListSnapshots(wanted, read_page(params)?)
            }
            FeedRoute::RetrieveSnapshot(id) => Self::RetrieveSnapshot(id),
            FeedRoute::ListThin => {
                let micros = |text: &str| Timestamp::parse_rfc3339(text).map(Timestamp::micros);
                let wanted = Wanted {
                    types: read_types(params)?,
                    created: params.span("created", micros)?,
                    about: params.text("object_id", ID_LENGTH_MAX)?,
                };
                let token = params.text("page", ID_LENGTH_MAX)?;
                let mut page = read_page(params)?;
                page.starting_after = match token {
                    None => None,
                    Some(token) => Some(read_token(&token)?),
                };
                Self::ListThin(wanted, page)
            }
            FeedRoute::RetrieveThin(id) => Self::RetrieveThin(id),
        })
    }
}

fn read_types(params: &mut Params) -> Result<BTreeSet<String>, Refusal> {
    let types: BTreeSet<String> = params.map("types")?.into_values().collect();
    if types.len() > TYPES_MAX {
        let message = format!("At most {TYPES_MAX} types can be asked for");
        return Err(Refusal::invalid(message).param("types"));
    }
    Ok(types)
}

/// A token names the last event of the page before.
fn read_token(token: &str) -> Result<String, Refusal> {
    let id = token.strip_prefix(TOKEN_PREFIX).map(str::to_owned);
    id.ok_or_else(|| Refusal::invalid("Invalid page token").param("page"))
}

/// Carries out a sound request about events.
pub(super) fn perform(
    announcements: &Announcements,
    operation: &FeedOperation,
) -> Result<Value, Refusal> {
    match operation {
        FeedOperation::ListSnapshots(wanted, page) => {
            let found = announcements.newest_first(Form::Snapshot);
            let found = found.filter(|it| wanted.wants(it, it.created.seconds()));
            let (rows, has_more) = summary::cut(found.collect(), |it| it.id.as_str(), page)?;
            let data: Vec<Value> = rows.into_iter().map(Announcement::object).collect();
            let url = "/v1/events";
            Ok(json!({ "object": "list", "data": data, "has_more": has_more, "url": url }))
        }
        FeedOperation::RetrieveSnapshot(id) => retrieve(announcements, Form::Snapshot, id),
        FeedOperation::ListThin(wanted, page) => {
            list_thin(announcements, wanted, page).map_err(Refusal::in_v2)
        }
        FeedOperation::RetrieveThin(id) => {
            retrieve(announcements, Form::Thin, id).map_err(|refusal| refusal.code("not_found"))
        }
    }
}

fn retrieve(announcements: &Announcements, form: Form, id: &str) -> Result<Value, Refusal> {
    let found = announcements.find(form, id);
    found.map(Announcement::whole).ok_or_else(|| Refusal::no_object("event", id))
}

/// Newest first, as the first feed; which order Stripe has here is unconfirmed. There is no way
/// back to an earlier page: no client needs one.
fn list_thin(
    announcements: &Announcements,
    wanted: &Wanted,
    page: &Page,
) -> Result<Value, Refusal> {
    let found = announcements.newest_first(Form::Thin);
    let found = found.filter(|it| wanted.wants(it, it.created.micros()));
    let (rows, has_more) = summary::cut(found.collect(), |it| it.id.as_str(), page)?;
    let last = rows.last().filter(|_| has_more);
    let next = last.map(|last| wanted.next_url(page, &last.id));
    let data: Vec<Value> = rows.into_iter().map(Announcement::object).collect();
    Ok(json!({ "data": data, "next_page_url": next, "previous_page_url": null }))
}

impl Wanted {
    fn wants(&self, found: &Announcement, created: i64) -> bool {
        (self.types.is_empty() || self.types.contains(found.name))
            && self.created.contains(&created)
            && self.about.as_ref().is_none_or(|id| found.is_about(id))
    }

    /// The same question, from after `last` on.
    fn next_url(&self, page: &Page, last: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &page.limit.to_string());
        query.append_pair("page", &format!("{TOKEN_PREFIX}{last}"));
        for (place, name) in self.types.iter().enumerate() {
            query.append_pair(&format!("types[{place}]"), name);
        }
        if let Some(id) = &self.about {
            query.append_pair("object_id", id);
        }
        if self.created.start > i64::MIN {
            let from = Timestamp::from_micros(self.created.start).to_rfc3339();
            query.append_pair("created[gte]", &from);
        }
        if self.created.end < i64::MAX {
            let until = Timestamp::from_micros(self.created.end).to_rfc3339();
            query.append_pair("created[lt]", &until);
        }
        format!("/v2/core/events?{}", query.finish())
    }
}
