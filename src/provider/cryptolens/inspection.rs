//! What an account at Cryptolens is, beside its settings. Here: which request that takes. Never
//! here: a route (`cli::check`). Read next: [`crate::provider::inspection`].
//!
//! It takes one request, which lists products. Whether the token may record usage, and whether a
//! key is tied to a subscription item at Stripe, is told by no answer but to a record of usage.

use super::classify::Products;
use super::{Cryptolens, pin, promises};
use crate::domain::answer::{Answer, Outcome};
use crate::provider::inspection::{Disagreement, Inspected, Inspection, Subject};

/// What cannot be tried by reading.
const UNTRIED: [&str; 2] =
    ["whether usage may be recorded", "whether Stripe still takes usage records of the account"];

impl Cryptolens {
    /// Asks all that there is to ask.
    pub(super) async fn inspected(&self) -> Inspection {
        let mut found = Inspection { untried: UNTRIED.to_vec(), calls: 1, ..Inspection::default() };
        match self.client.products().await {
            Ok(products) => self.compare(&products, &mut found),
            Err(answer) if answer.outcome == Outcome::Unauthorized => refused(&answer, &mut found),
            Err(answer) => found.unanswered = Some(*answer),
        }
        found
    }

    fn compare(&self, products: &Products, found: &mut Inspection) {
        found.account = Some(self.account());
        match &products.refusal {
            None => found.reads.push("products"),
            Some(said) => found.disagreements.push(
                Disagreement::error(
                    Subject::Key,
                    format!("the token may not list products: {said}"),
                    "whether the declared products are there is not known",
                    "let the token do GetProducts, or leave it so",
                )
                .that_may_be_meant(),
            ),
        }
        for product in &self.settings.products {
            if products.has(product) == Some(false) {
                found.disagreements.push(Disagreement::error(
                    Subject::Declared(product.clone()),
                    format!("the account has no product {product}"),
                    "all its usage would be refused",
                    "copy the product's number from Cryptolens",
                ));
                continue;
            }
            let promises = Ok(promises::OF_RECORD_USAGE);
            let is = "a product, told by RecordUsage".to_owned();
            found.meters.push(Inspected { pin: pin(product), promises, is });
        }
    }
}

fn refused(answer: &Answer, found: &mut Inspection) {
    let said = answer.message.as_deref().unwrap_or_default();
    found.disagreements.push(Disagreement::error(
        Subject::Key,
        format!("the token is not accepted: {said}"),
        "nothing would be recorded",
        "make a token for RecordUsage at Cryptolens",
    ));
}
