//! What an account at Stripe is, beside its settings. Here: which requests that takes, and what is
//! said of what they answer. Never here: a route (`cli::check`), what a meter can be told
//! ([`super::promises`]). Read next: [`crate::provider::inspection`].
//!
//! It takes seven requests, and one more for each hundred meters of the account. Each is one that
//! the daemon makes; what is asked of one object is asked of none that exists.

use std::collections::BTreeSet;

use stripe_billing::BillingMeter;

use super::billing::{INVOICES, PRICES, SUBSCRIPTIONS};
use super::client::Reading;
use super::feeds::Feed;
use super::settings::Channel;
use super::summaries::Rows;
use super::{Stripe, meters, promises};
use crate::domain::answer::Answer;
use crate::domain::names::{AccountName, ProviderMeter};
use crate::domain::provider_facts::{AccountPin, MeterPin};
use crate::domain::reading::Grouping;
use crate::domain::time::{MICROS_PER_MINUTE, Timestamp, Window};
use crate::provider::inspection::{Disagreement, Inspected, Inspection, Subject};
use crate::provider::{CannotTell, Capabilities};

/// What the daemon does at Stripe that changes something there.
const WRITES: [&str; 2] = ["meter events", "their cancellations"];
/// What it does beside that where events go by the stream: a session is opened by a call that
/// writes.
const SESSIONS: &str = "sessions of the meter event stream, and whether it takes this account's";
/// What nothing at Stripe is called: its own ids have no such words.
const NO_PRICE: &str = "price_tallydCheck";
/// Likewise, of a customer.
const NO_CUSTOMER: &str = "cus_tallydCheck";

/// A question of the daemon's, asked to see whether the key may.
struct Trial {
    reads: &'static str,
    /// What comes of it when it may not.
    without: &'static str,
    path: String,
}

impl Stripe {
    /// Asks all that there is to ask.
    pub(super) async fn inspected(&self, routed: &BTreeSet<ProviderMeter>) -> Inspection {
        let reading = Reading::new(&self.client);
        let mut found = Inspection { untried: WRITES.to_vec(), ..Inspection::default() };
        match self.channel {
            Channel::V1 | Channel::V2 => {}
            Channel::Stream => found.untried.push(SESSIONS),
        }
        let asked = self.ask(&reading, routed, &mut found).await;
        found.ended(asked, reading.calls())
    }

    async fn ask(
        &self,
        reading: &Reading<'_>,
        routed: &BTreeSet<ProviderMeter>,
        found: &mut Inspection,
    ) -> Result<(), Box<Answer>> {
        let account = reading.account().await?;
        self.compare_account(account, found);
        let listed = reading.meters().await?;
        match &listed {
            Some(listed) => self.compare_meters(listed, routed, found),
            None => self.without_meters(routed, found),
        }
        for trial in self.trials(reading.provider_at(), found) {
            let asked = reading.get(&trial.path).await.map(drop);
            found.try_reading(trial.reads, trial.without, asked)?;
        }
        Ok(())
    }

    fn shown(&self, pin: &MeterPin, declared: Option<&MeterPin>) -> Inspected {
        inspected(pin, promises::of(pin, declared, self.channel))
    }

    fn compare_account(&self, account: Option<String>, found: &mut Inspection) {
        match (&self.declared_account, &account) {
            (Some(declared), Some(behind)) if declared != behind => {
                found.disagreements.push(Disagreement::error(
                    Subject::Account,
                    format!("the key belongs to the account {behind}, and not to {declared}"),
                    "nothing would be sent",
                    "use a key of that account, or correct `account`",
                ));
            }
            (_, Some(_)) => found.reads.push("the account"),
            (declared, None) => {
                let unseen = Disagreement::error(
                    Subject::Key,
                    "the key may not read its account",
                    "a key of another account would be taken for this one's",
                    "let the key read the account (\"Accounts\", read)",
                );
                let is_declared = declared.is_some();
                let unseen = if is_declared { unseen } else { unseen.that_may_be_meant() };
                found.disagreements.push(unseen);
            }
        }
        found.account = Some(AccountPin { account, livemode: self.livemode });
    }

    /// What the account has, beside what was declared of it and what is to be told.
    fn compare_meters(
        &self,
        listed: &[BillingMeter],
        routed: &BTreeSet<ProviderMeter>,
        found: &mut Inspection,
    ) {
        found.reads.push("meters");
        let mode = self.mode();
        if listed.iter().any(|meter| meter.livemode != self.livemode) {
            found.disagreements.push(Disagreement::error(
                Subject::Key,
                format!("the key is a {mode} key, but its meters are not"),
                "nothing would be sent",
                "use a key of the mode that is meant",
            ));
        }
        let (pins, unusable) = meters::read(listed);
        let declared: BTreeSet<&ProviderMeter> =
            self.declared.iter().map(|pin| &pin.meter).collect();
        let wanted: BTreeSet<&ProviderMeter> = routed.iter().chain(declared).collect();
        for meter in wanted {
            let subject = if routed.contains(meter) { Subject::Routed } else { Subject::Declared };
            let odd = unusable.iter().find(|odd| odd.meter == meter.as_str());
            match (pins.iter().find(|pin| pin.meter == *meter), odd) {
                (Some(pin), _) => found.meters.push(self.shown(pin, self.declared_as(meter))),
                (None, Some(odd)) => found.disagreements.push(Disagreement::error(
                    subject(meter.clone()),
                    format!("the meter \"{meter}\" {}", odd.reason),
                    "its usage would be held",
                    "route this usage to another meter, or use a newer version of this program",
                )),
                (None, None) => found.disagreements.push(Disagreement::error(
                    subject(meter.clone()),
                    format!(
                        "there is no meter \"{meter}\" at Stripe, of this account in {mode} mode"
                    ),
                    "its usage would be held until there is one",
                    "set `event` to the event name of a meter, or make the meter at Stripe",
                )),
            }
        }
        for declared in &self.declared {
            let there = pins.iter().find(|pin| pin.meter == declared.meter);
            if let Some(there) = there.filter(|there| !there.means_the_same(declared)) {
                found.disagreements.push(otherwise_declared(declared, there));
            }
        }
    }

    /// What was declared is all that is known of meters.
    fn without_meters(&self, routed: &BTreeSet<ProviderMeter>, found: &mut Inspection) {
        let fix = "let the key read meters (\"Billing meters\", read)";
        let unseen = Disagreement::error(
            Subject::Key,
            "the key may not list meters",
            "what is declared of them is believed, and a meter that changes is not noticed",
            fix,
        );
        found.disagreements.push(unseen.that_may_be_meant());
        for meter in routed {
            match self.declared.iter().find(|declared| declared.meter == *meter) {
                Some(declared) => found.meters.push(self.shown(declared, Some(declared))),
                None => found.disagreements.push(Disagreement::error(
                    Subject::Routed(meter.clone()),
                    format!("nothing is known of the meter \"{meter}\": the key may not list it"),
                    "its usage would be held",
                    format!("{fix}, or declare the meter in [{}.meter.\"{meter}\"]", self.name),
                )),
            }
        }
    }

    /// The other questions of the daemon's. Totals are asked for by a meter's id and a time.
    fn trials(&self, provider_at: Option<Timestamp>, found: &Inspection) -> Vec<Trial> {
        let bills = "periods would not be learned: usage would be told without regard to its bill";
        let lists = "what no webhook brings would not be noticed";
        let mut trials = Vec::new();
        let mut trial = |reads, without, path| trials.push(Trial { reads, without, path });
        let meter = found.meters.iter().find_map(|meter| meter.pin.id.as_deref());
        if let (Some(id), Some(at), Ok(customer)) =
            (meter, provider_at, AccountName::new(NO_CUSTOMER))
        {
            let end = at.floor_to(MICROS_PER_MINUTE);
            let span = Window { start: end.plus_micros(-MICROS_PER_MINUTE), end };
            if let Ok(rows) = Rows::of(id, &customer, span, Grouping::Whole, self.livemode) {
                let without = "nothing would ever be settled: totals could not be compared";
                trial("totals", without, format!("/v1{}", rows.path()));
            }
        }
        trial("subscriptions", bills, format!("{SUBSCRIPTIONS}?status=all&limit=1"));
        trial("invoices", bills, format!("{INVOICES}?limit=1"));
        trial("prices", bills, format!("{PRICES}/{NO_PRICE}"));
        if let Some(at) = provider_at {
            trial("events", lists, Feed::Events.path(at, None));
            trial("reports of rejected usage", lists, Feed::CoreEvents.path(at, None));
        }
        trials
    }
}

fn inspected(pin: &MeterPin, promises: Result<Capabilities, CannotTell>) -> Inspected {
    let MeterPin { formula, customer_key, value_key, span, active, learned, .. } = pin;
    let id = pin.id.as_deref().unwrap_or("without an id");
    let taken = span.map_or(String::new(), |span| format!(", one total per {span}"));
    let state = match (learned, active) {
        (false, _) => "as it is declared",
        (true, true) => "active",
        (true, false) => "deactivated",
    };
    let is =
        format!("{id}, {state}: the {formula} of \"{value_key}\" by \"{customer_key}\"{taken}");
    Inspected { pin: pin.clone(), promises, is }
}

fn otherwise_declared(declared: &MeterPin, there: &MeterPin) -> Disagreement {
    let of = |pin: &MeterPin| {
        let span = pin.span.map_or("none".to_owned(), |span| span.to_string());
        [
            ("id", pin.id.clone().unwrap_or_default()),
            ("formula", pin.formula.to_string()),
            ("customer_key", pin.customer_key.clone()),
            ("value_key", pin.value_key.clone()),
            ("span", span),
        ]
    };
    let differs = |((key, mine), (_, theirs)): ((&'static str, String), (&str, String))| {
        let says = key != "id" || (declared.id.is_some() && there.id.is_some());
        (says && mine != theirs).then(|| format!("`{key}` is \"{mine}\" here, and \"{theirs}\""))
    };
    let all: Vec<String> = of(declared).into_iter().zip(of(there)).filter_map(differs).collect();
    let meter = &declared.meter;
    Disagreement::error(
        Subject::Declared(meter.clone()),
        format!("the meter \"{meter}\" is another at Stripe: {} there", all.join("; ")),
        "Stripe's word is followed, and the routes were judged by this one",
        "declare what Stripe has, or remove this table, as the key may list meters",
    )
}
