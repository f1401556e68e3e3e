//! What a site is, beside its settings. Here: which requests that takes, and what is said of what
//! they answer. Never here: a route (`cli::check`), what an item price can be told
//! ([`super::promises`]). Read next: [`crate::provider::inspection`].
//!
//! It takes four requests, and two for each item price, at the site's pace. How usages are added up
//! is a setting of the whole site that no answer tells; an item that has its own says so.

use serde::Deserialize;

use super::client::Inquiry;
use super::settings::ItemPrice;
use super::{Chargebee, GREETING, pin, promises};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::fold::Fold;
use crate::domain::provider_facts::AccountPin;
use crate::provider::inspection::{Disagreement, Inspected, Inspection, Subject, is_forbidden};

/// What the daemon does at a site that changes something there.
const WRITES: [&str; 2] = ["usages", "their deletion"];
/// What nothing but the site's own pages tell of an item that has no word of its own.
const SITE_WIDE: &str = "how the site adds up the usages of items that do not say it";
/// Each question that the daemon asks beside those of item prices: what it reads, what comes of it
/// when the key may not, where it is asked.
const TRIALS: [(&str, &str, &str); 4] = [
    ("usages", "nothing would ever be settled: totals could not be compared", GREETING),
    ("subscriptions", UNBILLED, "/subscriptions?limit=1"),
    ("invoices", UNBILLED, "/invoices?limit=1"),
    ("events", "what no webhook brings would not be noticed", "/events?limit=1"),
];
const UNBILLED: &str = "terms would not be learned: usage would be told without regard to its bill";

#[derive(Deserialize)]
struct OnePrice {
    item_price: Price,
}

/// An item price, as far as it is read.
#[derive(Deserialize)]
struct Price {
    item_id: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize)]
struct OneItem {
    item: Item,
}

/// An item, as far as it is read.
#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    metered: bool,
    usage_calculation: Option<String>,
}

impl Chargebee {
    /// Asks all that there is to ask.
    pub(super) async fn inspected(&self) -> Inspection {
        let mut inquiry = Inquiry::new(&self.client);
        let mut found = Inspection { untried: WRITES.to_vec(), ..Inspection::default() };
        let asked = self.ask(&mut inquiry, &mut found).await;
        found.ended(asked, inquiry.calls())
    }

    /// A route names an item price that is declared: the config is refused otherwise.
    async fn ask(
        &self,
        inquiry: &mut Inquiry<'_>,
        found: &mut Inspection,
    ) -> Result<(), Box<Answer>> {
        for (reads, without, path) in TRIALS {
            let asked = inquiry.greet(path).await.map(drop);
            found.try_reading(reads, without, asked)?;
        }
        let (account, livemode) = (Some(self.settings.site.clone()), self.settings.livemode());
        found.account = Some(AccountPin { account, livemode });
        let mut may = true;
        for price in &self.settings.item_prices {
            may = may && self.look_at(inquiry, price, found).await?;
        }
        Ok(())
    }

    /// Compares an item price; whether the next one may be asked for.
    async fn look_at(
        &self,
        inquiry: &mut Inquiry<'_>,
        price: &ItemPrice,
        found: &mut Inspection,
    ) -> Result<bool, Box<Answer>> {
        let id = price.id.as_str();
        let asked = inquiry.find(&["item_prices", id], "").await;
        let Some(body) = allowed("item prices", asked, found)? else { return Ok(false) };
        let Some(body) = body else {
            found.disagreements.push(of_price(
                price,
                format!("there is no item price \"{id}\" at the site {}", self.settings.site),
                "every usage of it would be refused",
                "use the id of an item price that is there, or make it at Chargebee",
            ));
            return Ok(true);
        };
        let there: OnePrice = read(&body, "no item price")?;
        if let Some(status) = there.item_price.status.filter(|status| status != "active") {
            found.disagreements.push(
                of_price(
                    price,
                    format!("the item price \"{id}\" is {status}"),
                    "no new subscription can have it",
                    "declare the item price that took its place as well",
                )
                .that_may_be_meant(),
            );
        }
        let item = there.item_price.item_id.unwrap_or_default();
        let asked = inquiry.find(&["items", &item], "").await;
        let Some(body) = allowed("items", asked, found)? else { return Ok(false) };
        let gone = || unread("the item of an item price is not there");
        let item: OneItem = read(&body.ok_or_else(gone)?, "no item")?;
        self.compare_item(price, &item.item, found);
        Ok(true)
    }

    fn compare_item(&self, price: &ItemPrice, item: &Item, found: &mut Inspection) {
        let id = &price.id;
        if !item.metered {
            found.disagreements.push(of_price(
                price,
                format!("the item of the item price \"{id}\" is not metered"),
                "every usage of it would be refused",
                "route this usage to an item price of a metered item",
            ));
            return;
        }
        let said = item.usage_calculation.as_deref();
        let known = match said {
            Some("sum_of_usages") => Some(Fold::Sum),
            Some("last_usage") => Some(Fold::Last),
            Some("max_usage") => Some(Fold::Max),
            Some(_) | None => None,
        };
        match (said, known) {
            (None, _) if !found.untried.contains(&SITE_WIDE) => found.untried.push(SITE_WIDE),
            (_, Some(billed)) if billed == price.aggregation => {}
            (None, _) => {}
            (Some(word), _) => found.disagreements.push(of_price(
                price,
                format!("what is billed of the item price \"{id}\" is its \"{word}\""),
                "what is told would be billed as something else",
                "set `aggregation` to what the item says: \"sum\", \"most_recent\" or \"max\"",
            )),
        }
        let settings = &self.settings;
        let promises = promises::of(price.aggregation, settings.decimals, settings.usages_max);
        let is = format!("metered: {}", said.unwrap_or("added up as the site has it"));
        found.meters.push(Inspected { pin: pin(id), promises: Ok(promises), is });
    }
}

fn of_price(price: &ItemPrice, what: String, otherwise: &str, fix: &str) -> Disagreement {
    Disagreement::error(Subject::Declared(price.id.clone()), what, otherwise, fix)
}

/// What was asked for, unless the key may not ask.
fn allowed<T>(
    reads: &'static str,
    asked: Result<T, Box<Answer>>,
    found: &mut Inspection,
) -> Result<Option<T>, Box<Answer>> {
    match asked {
        Ok(body) => {
            if !found.reads.contains(&reads) {
                found.reads.push(reads);
            }
            Ok(Some(body))
        }
        // Nothing of the daemon's depends on it: only this comparison does.
        Err(answer) if is_forbidden(&answer) => {
            let what = format!("the key may not read {reads}");
            let otherwise = "whether item prices are there and metered is not known";
            let fix = "use a key with full access";
            let unseen = Disagreement::error(Subject::Key, what, otherwise, fix);
            found.disagreements.push(unseen.that_may_be_meant());
            Ok(None)
        }
        Err(answer) => Err(answer),
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8], otherwise: &str) -> Result<T, Box<Answer>> {
    serde_json::from_slice(body).map_err(|_| unread(&format!("the answer is {otherwise}")))
}

fn unread(why: &str) -> Box<Answer> {
    Box::new(Answer::bare(Outcome::Unknown, why))
}
