//! What a product at Planship is, beside its settings. Here: which requests that takes. Never here:
//! a route (`cli::check`). Read next: [`crate::provider::inspection`].
//!
//! It takes a token, which is given for the client's secret alone, and one request that reads the
//! product. Whether a metering id feeds a lever, and whether the client may report usage, is told
//! by no answer but to a report.

use super::{Planship, pin, promises};
use crate::domain::answer::Answer;
use crate::provider::inspection::{Disagreement, Inspected, Inspection, Subject};

/// What cannot be tried by reading.
const UNTRIED: [&str; 2] = ["whether usage may be reported", "whether a lever has a metering id"];

impl Planship {
    /// Asks all that there is to ask.
    pub(super) async fn inspected(&self) -> Inspection {
        let mut found = Inspection { untried: UNTRIED.to_vec(), ..Inspection::default() };
        let mut calls = 1;
        let asked = match self.client.greet().await {
            Ok(greeted) => {
                found.account = Some(self.account());
                calls += 1;
                let product = self.client.find_product(&greeted).await;
                self.compare(product, &mut found)
            }
            Err(answer) => Err(answer),
        };
        found.ended(asked, calls)
    }

    fn compare(
        &self,
        product: Result<(), Box<Answer>>,
        found: &mut Inspection,
    ) -> Result<(), Box<Answer>> {
        let is_missing =
            |answer: &Answer| answer.outcome.is_refusal() && answer.status == Some(404);
        if product.as_ref().is_err_and(|answer| is_missing(answer)) {
            let product = &self.settings.product;
            found.disagreements.push(Disagreement::error(
                Subject::Account,
                format!("the organization has no product \"{product}\""),
                "all its usage would be refused",
                "copy the product's slug from Planship's console",
            ));
        }
        let without = "whether the product is there is not known";
        found.try_reading("products", without, product)?;
        for metering_id in &self.settings.metering_ids {
            let promises = Ok(promises::OF_METERED_USAGE);
            let is = "a metering id, reported by the amount".to_owned();
            found.meters.push(Inspected { pin: pin(metering_id), promises, is });
        }
        Ok(())
    }
}
