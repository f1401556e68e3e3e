//! Whose rules the provider has. Here: what differs between one that keeps events and one that
//! keeps entries, as far as it is a word or a number. Never here: what becomes of a request (see
//! [`super::events`] and [`super::entries`]). Read next: [`super::entries`].

use serde_json::json;
use tallyd::provider::Request;

use super::billing::Happened;
use super::{Asked, DAY, MINUTE, Reply, entries, events, records, reports};

/// What a provider keeps of the usage that it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// Events, that add up: Stripe's meters.
    Events,
    /// Entries, of which each can be taken away: Chargebee's usages.
    Entries,
    /// Nothing but a count.
    Counts(Counter),
}

/// Who only counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// Cryptolens, by its records of usage.
    Cryptolens,
    /// Planship, by reports.
    Planship,
}

/// What the provider says without looking at what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saying {
    Failed,
    KeyRefused,
    TooMany,
    Busy,
    Refused,
    OtherParameters,
    Unreadable,
}

impl Keeps {
    /// Whether it counts what it is told, and nothing else.
    pub(crate) const fn only_counts(self) -> bool {
        match self {
            Self::Counts(_) => true,
            Self::Events | Self::Entries => false,
        }
    }

    /// How long an answer is kept under its key.
    pub(super) const fn keeps_keys_for(self) -> i64 {
        match self {
            Self::Events => DAY,
            Self::Entries => 30 * MINUTE,
            Self::Counts(_) => 0,
        }
    }

    /// Digits after the point that it takes.
    pub(crate) const fn decimals(self) -> u32 {
        match self {
            Self::Events => 12,
            Self::Entries => entries::DECIMALS,
            Self::Counts(_) => 0,
        }
    }

    /// What there must not be two requests for at once, of a meter and an account.
    pub(super) fn one_at_a_time(self, (meter, account): (String, String)) -> (String, String) {
        match self {
            Self::Events | Self::Counts(_) => (meter, account),
            // Two writes to a subscription lock one another out.
            Self::Entries => ("anything".to_owned(), account),
        }
    }

    pub(super) fn understand(self, body: &[u8]) -> Option<Asked> {
        match self {
            Self::Events => events::understand(body),
            Self::Entries => entries::understand(body),
            Self::Counts(_) => records::understand(body),
        }
    }

    /// Whether these bytes are for a stream, which takes several and answers for none.
    pub(crate) fn streams(self, body: &[u8]) -> bool {
        self == Self::Events && events::is_streamed(body)
    }

    /// A request's bytes with what stands beside them: the account in its path, as one form, or
    /// which event it is of.
    pub(crate) fn whole(self, request: &Request<'_>, body: Vec<u8>) -> Vec<u8> {
        let account = request.account.as_str();
        match self {
            Self::Events => body,
            Self::Counts(Counter::Cryptolens) => records::named(request.identifier, &body),
            Self::Counts(Counter::Planship) => reports::form(request, &body),
            Self::Entries => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.append_pair("subscription_id", account)
                    .extend_pairs(form_urlencoded::parse(&body));
                form.finish().into_bytes()
            }
        }
    }

    /// The answer that says so.
    pub(crate) fn says(self, saying: Saying) -> Reply {
        match self {
            Self::Events => stripe(saying),
            Self::Entries => chargebee(saying),
            Self::Counts(Counter::Cryptolens) => cryptolens(saying),
            Self::Counts(Counter::Planship) => planship(saying),
        }
    }

    /// The word by which something that happened is announced.
    pub(super) const fn announces(self, what: Happened) -> &'static str {
        match (self, what) {
            (Self::Events, Happened::Subscribed | Happened::Reactivated) => {
                "customer.subscription.created"
            }
            (
                Self::Events,
                Happened::EndSet | Happened::Renewed | Happened::Paused | Happened::Resumed,
            ) => "customer.subscription.updated",
            (Self::Events, Happened::Ended) => "customer.subscription.deleted",
            (Self::Events, Happened::Drafted) => "invoice.created",
            (Self::Events, Happened::Finalized) => "invoice.finalized",
            (Self::Counts(_), _) => "nothing",
            (Self::Entries, Happened::Subscribed) => "subscription_created",
            (Self::Entries, Happened::EndSet) => "subscription_cancellation_scheduled",
            (Self::Entries, Happened::Renewed) => "subscription_renewed",
            (Self::Entries, Happened::Ended) => "subscription_cancelled",
            (Self::Entries, Happened::Reactivated) => "subscription_reactivated",
            (Self::Entries, Happened::Paused) => "subscription_paused",
            (Self::Entries, Happened::Resumed) => "subscription_resumed",
            (Self::Entries, Happened::Drafted) => "pending_invoice_created",
            (Self::Entries, Happened::Finalized) => "invoice_generated",
        }
    }
}

fn stripe(saying: Saying) -> Reply {
    let error = Reply::error;
    let request = "invalid_request_error";
    match saying {
        Saying::Failed => error(500, "api_error", "An unknown error occurred."),
        Saying::KeyRefused => error(401, request, "Invalid API Key provided."),
        Saying::TooMany => {
            Reply { limited: Some("global-rate"), ..error(429, request, "Too many requests.") }
        }
        Saying::Busy => error(409, request, "Another request is under way."),
        Saying::Refused => error(400, request, "No such customer."),
        Saying::OtherParameters => error(400, "idempotency_error", "used with other parameters"),
        Saying::Unreadable => error(400, request, "unreadable"),
    }
}

fn chargebee(saying: Saying) -> Reply {
    let (status, code, message) = match saying {
        Saying::Failed => (500, "internal_error", "Something went wrong."),
        Saying::KeyRefused => (401, "api_authentication_failed", "The key is not valid."),
        Saying::TooMany => (429, "api_request_limit_exceeded", "Too many requests."),
        Saying::Busy => (429, "lock_timeout", "Another request is under way."),
        Saying::Refused => (404, "resource_not_found", "The subscription is not found."),
        Saying::OtherParameters => (422, "unable_to_process_request", "used with others"),
        Saying::Unreadable => (400, "param_wrong_value", "unreadable"),
    };
    refusal(status, code, message)
}

fn cryptolens(saying: Saying) -> Reply {
    let (status, message) = match saying {
        Saying::Failed => (500, "Something went wrong. Please try again."),
        Saying::KeyRefused => (200, "Unable to authenticate"),
        Saying::TooMany | Saying::Busy => (429, "Too many requests."),
        Saying::Refused => (200, "Could not find the key."),
        Saying::OtherParameters | Saying::Unreadable => {
            (200, "The input parameters were incorrect.")
        }
    };
    Reply::of(status, records::said(1, message))
}

fn planship(saying: Saying) -> Reply {
    let (status, detail) = match saying {
        Saying::Failed => (500, "Internal Server Error"),
        Saying::KeyRefused => (401, "Could not validate credentials"),
        Saying::TooMany | Saying::Busy => (429, "Too Many Requests"),
        Saying::Refused => (404, "Customer not found"),
        Saying::OtherParameters | Saying::Unreadable => (422, "unreadable"),
    };
    Reply::of(status, json!({ "detail": detail }).to_string())
}

/// An error as Chargebee writes it.
pub(super) fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({ "message": message, "api_error_code": code, "http_status_code": status });
    Reply::of(status, body.to_string())
}
