//! What a site that meters by usage events is, beside its settings. Here: which requests that
//! takes. Never here: a route (`cli::check`). Read next: [`crate::provider::inspection`].
//!
//! It takes two requests. Which property a feature's meter adds up, and how, is told by no answer
//! that is documented; nor is anything of the host that takes events, but to whoever tells it one.

use super::summaries::Summaries;
use super::{UsageEvents, pin, promises};
use crate::domain::answer::Answer;
use crate::domain::names::AccountName;
use crate::domain::provider_facts::AccountPin;
use crate::domain::reading::Grouping;
use crate::domain::time::{MICROS_PER_HOUR, Window};
use crate::provider::chargebee::client::Inquiry;
use crate::provider::inspection::{Inspected, Inspection};

/// What cannot be tried by reading.
const UNTRIED: [&str; 2] = ["usage events", "which property each feature's meter adds up, and how"];
/// What no subscription is called.
const NO_SUBSCRIPTION: &str = "tallyd-check";

impl UsageEvents {
    /// Asks all that there is to ask.
    pub(super) async fn inspected(&self) -> Inspection {
        let mut inquiry = Inquiry::new(&self.client);
        let mut found = Inspection { untried: UNTRIED.to_vec(), ..Inspection::default() };
        let asked = self.ask(&mut inquiry, &mut found).await;
        found.ended(asked, inquiry.calls())
    }

    async fn ask(
        &self,
        inquiry: &mut Inquiry<'_>,
        found: &mut Inspection,
    ) -> Result<(), Box<Answer>> {
        let asked = inquiry.greet("/subscriptions?limit=1").await.map(drop);
        found.try_reading("subscriptions", "nothing would be sent", asked)?;
        let (account, livemode) = (Some(self.settings.site.clone()), self.settings.livemode());
        found.account = Some(AccountPin { account, livemode });
        for feature in &self.settings.features {
            let is = format!("a feature, of the property \"{}\"", feature.property);
            let promises = Ok(promises::OF_A_FEATURE);
            found.meters.push(Inspected { pin: pin(feature), promises, is });
        }
        let first = self.settings.features.first();
        let (Some(feature), Some(at), Ok(nobody)) =
            (first, inquiry.provider_at(), AccountName::new(NO_SUBSCRIPTION))
        else {
            return Ok(());
        };
        let end = at.floor_to(MICROS_PER_HOUR);
        let span = Window { start: end.plus_micros(-MICROS_PER_HOUR), end };
        let Ok(summaries) = Summaries::of(&feature.id, &nobody, span, Grouping::Whole) else {
            return Ok(());
        };
        let path = format!("/subscriptions/{NO_SUBSCRIPTION}/usage_summary?{}", summaries.query());
        let asked = inquiry.get(&path).await.map(drop);
        let without = "nothing would ever be settled: totals could not be compared";
        found.try_reading("usage summaries", without, asked)
    }
}
