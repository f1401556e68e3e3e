//! The rules of a provider that keeps entries: a usage of a subscription and an item price, at a
//! second of its own, that is deleted by its id until it is invoiced. Where Chargebee does not say
//! what its rule is, the strict one. Never here: a request on its way (see [`crate::wire`]). Read
//! next: [`super::billing`].

use serde_json::json;

use super::keeps::refusal;
use super::{Asked, Reply, SECOND, Server, Taken, Understood, fields};
use crate::amount::Amount;

/// Digits after the point that the site takes.
pub(crate) const DECIMALS: u32 = 4;

impl Server {
    pub(super) fn enter(&mut self, asked: Understood) -> Reply {
        if let Some(refused) = self.refuses(&asked) {
            return refused;
        }
        self.rule("entered");
        let reply = Reply::of(200, usage_body(&asked.identifier, &asked));
        let Understood { meter, account, identifier, at, value } = asked;
        let (received_at, lag) = (self.now, self.lag);
        let (rejected_at, cancelled_at, order) = (None, None, self.received());
        self.taken.insert(
            identifier,
            vec![Taken {
                meter,
                account,
                value,
                at,
                received_at,
                rejected_at,
                cancelled_at,
                lag,
                order,
            }],
        );
        reply
    }

    fn refuses(&mut self, asked: &Understood) -> Option<Reply> {
        if self.taken.contains_key(&asked.identifier) {
            // Also of a usage that was deleted.
            self.rule("id in use");
            return Some(refusal(400, "duplicate_entry", "The id is in use."));
        }
        if !self.meters.contains_key(&asked.meter) {
            self.rule("no such item price");
            return Some(refusal(400, "param_wrong_value", "There is no such item price."));
        }
        if asked.value < Amount::ZERO || asked.value.finer_than(DECIMALS) != Amount::ZERO {
            let what = format!("{} says {}", asked.identifier, asked.value);
            self.wrongs.push(("well-formed", what));
        }
        let here = |taken: &&Taken| taken.account == asked.account;
        let told = self.taken.values().flatten().filter(here).count();
        if told >= self.entries_max {
            self.rule("usages used up");
            return Some(refusal(400, "limit_exceeded", "There are too many usages."));
        }
        let same = |taken: &&Taken| taken.meter == asked.meter && taken.at == asked.at;
        let mut others = self.taken.values().flatten().filter(here).filter(same);
        if others.any(|taken| taken.cancelled_at.is_none()) {
            self.rule("second in use");
            return Some(refusal(400, "duplicate_entry", "There is a usage at this time."));
        }
        None
    }

    pub(super) fn delete(&mut self, id: &str) -> Reply {
        let Some(taken) = self.taken.get(id).and_then(|taken| taken.last()).cloned() else {
            self.rule("deletion of nothing");
            return refusal(404, "resource_not_found", "There is no such usage.");
        };
        if taken.cancelled_at.is_some() {
            self.rule("deleted already");
            return refusal(404, "resource_not_found", "There is no such usage.");
        }
        if self.is_invoiced(&taken) {
            self.rule("deletion of what is invoiced");
            return refusal(409, "invalid_state_for_request", "The usage is invoiced.");
        }
        if let Some(standing) = self.taken.get_mut(id).and_then(|taken| taken.last_mut()) {
            standing.cancelled_at = Some(self.now);
        }
        self.cancels.insert(id.to_owned());
        self.rule("deleted");
        Reply::of(200, shown(id, &taken))
    }

    fn is_invoiced(&self, taken: &Taken) -> bool {
        let invoice = self.billing.invoice_of(&taken.account, &taken.meter, taken.at);
        invoice.is_some_and(|invoice| invoice.billed.is_some())
    }

    /// Whether the entry `id` is on an invoice that is closed, and cannot be deleted.
    pub(crate) fn has_invoiced(&self, id: &str) -> bool {
        let standing = self.taken.get(id).and_then(|taken| taken.last());
        standing.is_some_and(|taken| taken.cancelled_at.is_none() && self.is_invoiced(taken))
    }

    /// What is there under `id`, for whoever asks: this is true at once.
    pub(crate) fn found(&self, id: &str) -> Reply {
        let standing = self.taken.get(id).and_then(|taken| taken.last());
        match standing.filter(|taken| taken.cancelled_at.is_none()) {
            Some(taken) => Reply::of(200, shown(id, taken)),
            None => refusal(404, "resource_not_found", "There is no such usage."),
        }
    }
}

fn shown(id: &str, taken: &Taken) -> String {
    let Taken { meter, account, value, at, .. } = taken.clone();
    usage_body(id, &Understood { meter, account, identifier: id.to_owned(), at, value })
}

fn usage_body(id: &str, usage: &Understood) -> String {
    json!({ "usage": {
        "id": id,
        "subscription_id": usage.account,
        "item_price_id": usage.meter,
        "quantity": usage.value.to_string(),
        "usage_date": usage.at / SECOND,
        "object": "usage",
    } })
    .to_string()
}

/// Reads the form of a request, with what stands in its path.
pub(super) fn understand(body: &[u8]) -> Option<Asked> {
    let fields = fields(body);
    let field = |name: &str| fields.get(name).cloned();
    let identifier = field("id")?;
    let Some(meter) = field("item_price_id") else { return Some(Asked::Cancel(identifier)) };
    let at: i64 = field("usage_date")?.parse().ok()?;
    Some(Asked::Usage(Understood {
        meter,
        account: field("subscription_id")?,
        identifier,
        at: at * SECOND,
        value: Amount::parse(&field("quantity")?)?,
    }))
}
