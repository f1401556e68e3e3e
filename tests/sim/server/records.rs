//! The rules of a provider that only counts: it is told an amount of a product for a key, and has
//! no name for it, no time and no way back. Never here: a request on its way (see [`crate::wire`]).
//! Read next: [`super::keeps`].
//!
//! The name by which the program knows an event is no part of its bytes. The wire puts it in front
//! of them, so that it is known here which event a request was of; no rule goes by it.

use serde_json::json;

use super::keeps::{Counter, Keeps, Saying};
use super::{Asked, Reply, Server, Taken, Understood, fields, reports};
use crate::amount::Amount;

/// The field that the wire puts in front of a request.
const NAME: &str = "(event)";

/// The request of this event, as it is read here.
pub(super) fn named(identifier: &str, body: &[u8]) -> Vec<u8> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair(NAME, identifier).extend_pairs(form_urlencoded::parse(body));
    form.finish().into_bytes()
}

/// Reads the form of a request.
pub(super) fn understand(body: &[u8]) -> Option<Asked> {
    let fields = fields(body);
    let field = |name: &str| fields.get(name).cloned();
    Some(Asked::Usage(Understood {
        meter: field("ProductId")?,
        account: field("Key")?,
        identifier: field(NAME)?,
        at: 0,
        value: Amount::parse(&field("Amount")?)?,
    }))
}

pub(super) fn said(result: i64, message: &str) -> String {
    json!({ "result": result, "message": message }).to_string()
}

impl Server {
    /// Counts what it is told, however often that is.
    pub(super) fn record(&mut self, asked: Understood) -> Reply {
        if !self.meters.contains_key(&asked.meter) {
            self.rule("no such product");
            return match self.keeps {
                Keeps::Counts(Counter::Planship) => self.keeps.says(Saying::Refused),
                Keeps::Counts(Counter::Cryptolens) | Keeps::Events | Keeps::Entries => {
                    Reply::of(200, said(1, "Could not find the product."))
                }
            };
        }
        let is_whole = asked.value.finer_than(0) == Amount::ZERO;
        let is_in_range = asked.value <= Amount::of(2_147_483_647, 0);
        if asked.value <= Amount::ZERO || !is_whole || !is_in_range {
            let what = format!("{} says {}", asked.identifier, asked.value);
            self.wrongs.push(("well-formed", what));
        }
        if self.taken.contains_key(&asked.identifier) {
            let what = format!("{} is counted a second time", asked.identifier);
            self.wrongs.push(("counted-once", what));
        }
        self.rule("recorded");
        let (received_at, order) = (self.now, self.received());
        let reply = match self.keeps {
            Keeps::Counts(Counter::Planship) => reports::record(&asked.meter, asked.value),
            Keeps::Counts(Counter::Cryptolens) | Keeps::Events | Keeps::Entries => said(0, ""),
        };
        self.taken.entry(asked.identifier).or_default().push(Taken {
            meter: asked.meter,
            account: asked.account,
            value: asked.value,
            at: self.now,
            received_at,
            rejected_at: None,
            cancelled_at: None,
            lag: 0,
            order,
        });
        Reply::of(200, reply)
    }
}
