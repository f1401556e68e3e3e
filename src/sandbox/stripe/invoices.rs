//! Invoices. Here: drafts, what is frozen when one is finalized, and how they look. Never here:
//! when a period ends, or what was used in it. Read next: [`super::invoicing`].

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use bigdecimal::{BigDecimal, RoundingMode, ToPrimitive};
use serde_json::{Value, json};

use super::meter::MeterIndex;
use super::prices::{PriceIndex, Prices};
use super::refusal::Refusal;

/// The most digits a quantity has after the point: Stripe's own limit. What exceeds it is cut off;
/// what Stripe does then is unconfirmed.
const QUANTITY_DECIMALS_MAX: i64 = 12;
/// Lines that an invoice shows of itself; the rest are listed by themselves.
const LINES_SHOWN_MAX: usize = 10;

/// What an invoice is. Nobody pays here, so a finalized one stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvoiceStatus {
    Draft,
    Open,
}

impl InvoiceStatus {
    const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Open => "open",
        }
    }
}

/// Why there is an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A period ended.
    Cycle,
    /// A subscription was cancelled with `invoice_now`. Stripe's word for it is unconfirmed.
    Update,
}

impl Reason {
    const fn name(self) -> &'static str {
        match self {
            Self::Cycle => "subscription_cycle",
            Self::Update => "subscription_update",
        }
    }
}

/// Where a line's quantity comes from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) customer: String,
    pub(super) meter: MeterIndex,
    pub(super) period: Range<i64>,
}

/// What one price bills for one span.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) item: String,
    pub(super) price: PriceIndex,
    pub(super) source: Source,
    /// What was used, once nothing more is added.
    pub(super) frozen: Option<BigDecimal>,
}

/// An invoice to be drafted.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) customer: String,
    pub(super) subscription: String,
    pub(super) reason: Reason,
    pub(super) period: Range<i64>,
    pub(super) lines: Vec<Line>,
    pub(super) created: i64,
    pub(super) finalizes_at: i64,
}

#[derive(Debug)]
pub(super) struct Invoice {
    pub(super) id: String,
    pub(super) draft: Draft,
    finalized_at: Option<i64>,
}

impl Invoice {
    pub(super) const fn status(&self) -> InvoiceStatus {
        match self.finalized_at {
            None => InvoiceStatus::Draft,
            Some(_) => InvoiceStatus::Open,
        }
    }

    /// The invoice as it stands; `usage` tells what a line that is not frozen has come to.
    pub(super) fn object(&self, prices: &Prices, usage: impl Fn(&Source) -> BigDecimal) -> Value {
        let lines = self.lines(prices, usage);
        let total: i64 = lines.iter().filter_map(|line| line["amount"].as_i64()).sum();
        let shown: Vec<&Value> = lines.iter().take(LINES_SHOWN_MAX).collect();
        let draft = &self.draft;
        let currency = draft.lines.first().and_then(|line| prices.at(line.price));
        let is_draft = self.status() == InvoiceStatus::Draft;
        json!({
            "id": self.id,
            "object": "invoice",
            "amount_due": total,
            "amount_paid": 0,
            "amount_remaining": total,
            "auto_advance": is_draft,
            "automatically_finalizes_at": is_draft.then_some(draft.finalizes_at),
            "billing_reason": draft.reason.name(),
            "collection_method": "charge_automatically",
            "created": draft.created,
            "currency": currency.map_or("usd", |price| price.new.currency.as_str()),
            "customer": draft.customer,
            "lines": {
                "object": "list",
                "data": shown,
                "has_more": lines.len() > LINES_SHOWN_MAX,
                "url": format!("/v1/invoices/{}/lines", self.id),
            },
            "livemode": false,
            "metadata": {},
            "parent": {
                "quote_details": null,
                "subscription_details": { "metadata": {}, "subscription": draft.subscription },
                "type": "subscription_details",
            },
            "period_end": draft.period.end,
            "period_start": draft.period.start,
            "status": self.status().name(),
            "status_transitions": {
                "finalized_at": self.finalized_at,
                "marked_uncollectible_at": null,
                "paid_at": null,
                "voided_at": null,
            },
            "subtotal": total,
            "total": total,
        })
    }

    pub(super) fn lines(
        &self,
        prices: &Prices,
        usage: impl Fn(&Source) -> BigDecimal,
    ) -> Vec<Value> {
        let line = |(place, line): (usize, &Line)| {
            let used = line.frozen.clone().unwrap_or_else(|| usage(&line.source));
            self.line(place, line, &billable(&used), prices)
        };
        self.draft.lines.iter().enumerate().map(line).collect()
    }

    fn line(&self, place: usize, line: &Line, quantity: &BigDecimal, prices: &Prices) -> Value {
        let price = prices.at(line.price);
        let unit = price.map(|price| price.new.unit_amount.clone()).unwrap_or_default();
        let amount = (&unit * quantity).with_scale_round(0, RoundingMode::HalfUp).to_i64();
        json!({
            "id": format!("{}_{place}", self.id.replacen("in_", "il_", 1)),
            "object": "line_item",
            "amount": amount,
            "currency": price.map_or("usd", |price| price.new.currency.as_str()),
            "description": null,
            "discount_amounts": null,
            "discountable": true,
            "discounts": [],
            "invoice": self.id,
            "livemode": false,
            "metadata": {},
            "parent": {
                "invoice_item_details": null,
                "subscription_item_details": {
                    "invoice_item": null,
                    "proration": false,
                    "proration_details": null,
                    "subscription": self.draft.subscription,
                    "subscription_item": line.item,
                },
                "type": "subscription_item_details",
            },
            "period": { "end": line.source.period.end, "start": line.source.period.start },
            "pricing": {
                "price_details": {
                    "price": price.map(|price| price.id.as_str()),
                    "product": price.map(super::prices::Price::product),
                },
                "type": "price_details",
                "unit_amount_decimal": unit.normalized().to_plain_string(),
            },
            "quantity": quantity.to_i64(),
            "quantity_decimal": quantity.normalized().to_plain_string(),
            "subscription": self.draft.subscription,
            "subtotal": amount,
        })
    }
}

/// What of the usage is billed: never less than nothing, and no more digits than a line has.
fn billable(used: &BigDecimal) -> BigDecimal {
    if *used < BigDecimal::default() {
        return BigDecimal::default();
    }
    used.with_scale_round(QUANTITY_DECIMALS_MAX, RoundingMode::Down)
}

/// The invoices of one account, oldest first. One a subscription and period, which bounds them.
#[derive(Debug, Default)]
pub(super) struct Invoices {
    all: Vec<Invoice>,
    by_id: HashMap<String, usize>,
    /// When drafts are finalized, soonest first.
    due: BTreeSet<(i64, usize)>,
}

impl Invoices {
    pub(super) fn add(&mut self, draft: Draft) -> usize {
        let place = self.all.len();
        let id = format!("in_sandbox{place:08}");
        self.by_id.insert(id.clone(), place);
        self.due.insert((draft.finalizes_at, place));
        self.all.push(Invoice { id, draft, finalized_at: None });
        place
    }

    pub(super) fn at(&self, place: usize) -> Result<&Invoice, Refusal> {
        self.all.get(place).ok_or_else(Refusal::internal)
    }

    pub(super) fn find(&self, id: &str) -> Result<&Invoice, Refusal> {
        let place = self.by_id.get(id).copied();
        self.at(place.ok_or_else(|| Refusal::no_object("invoice", id))?)
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Invoice> {
        self.all.iter().rev()
    }

    /// The draft that is finalized first.
    pub(super) fn next_due(&self) -> Option<(i64, usize)> {
        self.due.first().copied()
    }

    pub(super) const fn last(&self) -> Option<usize> {
        self.all.len().checked_sub(1)
    }

    /// Finalizes a draft: from here on its quantities stay what they are. `used` is what the lines
    /// that were not frozen before have come to, in their order.
    pub(super) fn finalize(&mut self, place: usize, at: i64, used: Vec<BigDecimal>) {
        let Some(invoice) = self.all.get_mut(place) else { return };
        self.due.remove(&(invoice.draft.finalizes_at, place));
        invoice.finalized_at = Some(at);
        let live = invoice.draft.lines.iter_mut().filter(|line| line.frozen.is_none());
        for (line, used) in live.zip(used) {
            line.frozen = Some(used);
        }
    }
}
