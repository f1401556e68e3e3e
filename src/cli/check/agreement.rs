//! Whether a provider agrees with the config. PURE. Here: what an inspection found, beside what the
//! routes tell and what the ledger has pinned, as problems at their lines. Never here: asking a
//! provider. Read next: [`crate::provider::inspection`].

use std::ops::Range;

use crate::accrual::route::{Aggregate, Route, WindowRule};
use crate::cli::words;
use crate::config::{Config, Problem};
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::domain::provider_facts::AccountPin;
use crate::ledger::delivery::ProviderFacts;
use crate::provider::inspection::{Disagreement, Inspected, Inspection, Subject, Weight};
use crate::provider::{Capabilities, ToldAs};

/// What a provider instance's inspection comes to.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// What was seen, a line each.
    pub(super) lines: Vec<String>,
    /// What does not agree.
    pub(super) disagreements: Vec<Problem>,
    /// That not everything was answered.
    pub(super) silence: Option<Problem>,
    /// What is not looked at, or may not be meant.
    pub(super) doubts: Vec<Problem>,
}

/// What is compared.
struct Comparison<'a> {
    config: &'a Config,
    provider: &'a ProviderName,
    found: Agreement,
}

/// Compares what an inspection found with the config, and with what the ledger has pinned.
pub(super) fn compare(
    config: &Config,
    provider: &ProviderName,
    pinned: Option<&ProviderFacts>,
    inspection: &Inspection,
) -> Agreement {
    let mut comparison = Comparison { config, provider, found: Agreement::default() };
    comparison.tell(inspection);
    for disagreement in &inspection.disagreements {
        comparison.take(disagreement);
    }
    if let Some(pinned) = pinned {
        comparison.against_pins(pinned, inspection);
    }
    for route in config.routes.iter().filter(|route| route.provider == *provider) {
        let meter = inspection.meters.iter().find(|it| it.pin.meter == route.provider_meter);
        if let Some(meter) = meter {
            comparison.against_route(route, meter);
        }
    }
    if let Some(answer) = &inspection.unanswered {
        let said = answer.message.as_deref().unwrap_or_default();
        let title = format!("{provider} gave no answer: {said}");
        let label = "whether it agrees with this is not known";
        let problem = comparison.problem(config.places.provider(provider), title);
        let help = "try again later; see whether `api` and this host's network are as meant";
        comparison.found.silence = Some(problem.label(label).help(help));
    }
    comparison.found
}

impl Comparison<'_> {
    fn problem(&self, place: Option<Range<usize>>, title: String) -> Problem {
        place.map_or_else(|| Problem::nowhere(title.clone()), |at| Problem::at(at, title.clone()))
    }

    fn routes_of(&self, meter: &ProviderMeter) -> Vec<&Route> {
        let its =
            |route: &&Route| route.provider == *self.provider && route.provider_meter == *meter;
        self.config.routes.iter().filter(its).collect()
    }

    /// Says what was seen: a line on the account, and one for each meter.
    fn tell(&mut self, inspection: &Inspection) {
        let (provider, calls) = (self.provider, i64::from(inspection.calls));
        if let Some(AccountPin { account, livemode }) = &inspection.account {
            let account = account.as_deref().unwrap_or("unreadable");
            let mode = mode(*livemode);
            let reads = inspection.reads.join(", ");
            let (asked, untried) =
                (words::counted(calls, "request"), inspection.untried.join(", "));
            self.found.lines.push(format!(
                "provider {provider}: asked by {asked}: account {account} in {mode} mode; the key \
                 may read {reads}; no reading can try: {untried}"
            ));
        }
        for Inspected { pin, is, .. } in &inspection.meters {
            let named = self.routes_of(&pin.meter);
            let named: Vec<&str> = named.iter().map(|route| route.name.as_str()).collect();
            let routes = match named.as_slice() {
                [] => "told by no route".to_owned(),
                [one] => format!("told by the route {one}"),
                several => format!("told by the routes {}", several.join(", ")),
            };
            let meter = &pin.meter;
            self.found.lines.push(format!("provider {provider} meter \"{meter}\": {is}; {routes}"));
        }
    }

    /// Puts a disagreement at its lines: one on a meter, at each route that names it.
    fn take(&mut self, disagreement: &Disagreement) {
        let Disagreement { subject, weight, what, otherwise, fix } = disagreement;
        let (places, provider) = (&self.config.places, self.provider);
        let at: Vec<Option<Range<usize>>> = match subject {
            Subject::Provider => vec![places.provider(provider)],
            Subject::Key => vec![places.key(provider)],
            Subject::Account => vec![places.account(provider)],
            Subject::Declared(meter) => vec![places.declared(provider, meter)],
            Subject::Routed(meter) => {
                self.routes_of(meter).iter().map(|route| places.route(&route.name)).collect()
            }
        };
        for place in at {
            let problem = self.problem(place, what.clone()).label(otherwise).help(fix);
            match weight {
                Weight::Error => self.found.disagreements.push(problem),
                Weight::Warning => self.found.doubts.push(problem),
            }
        }
    }

    /// What the ledger has pinned is what it goes on with: a daemon pauses where it is otherwise.
    fn against_pins(&mut self, pinned: &ProviderFacts, inspection: &Inspection) {
        if let (Some(pin), Some(behind)) = (&pinned.pin, &inspection.account)
            && is_other(pin, behind)
        {
            let text = |pin: &AccountPin| {
                format!(
                    "{} ({})",
                    pin.account.as_deref().unwrap_or("unreadable"),
                    mode(pin.livemode)
                )
            };
            let title = format!(
                "the key belongs to {}, and the ledger writes to {}",
                text(behind),
                text(pin)
            );
            let problem = self.problem(self.config.places.key(self.provider), title);
            let help = "use a key of that account and mode, or give this one a ledger of its own";
            self.found.disagreements.push(problem.label("nothing would be sent").help(help));
        }
        for Inspected { pin, .. } in &inspection.meters {
            let known = pinned.meters.iter().find(|known| known.meter == pin.meter);
            if known.is_none_or(|known| known.means_the_same(pin)) {
                continue;
            }
            let subject = Subject::Routed(pin.meter.clone());
            let what = format!("the meter \"{}\" changed since the ledger pinned it", pin.meter);
            let otherwise = "nothing is told to it: it may be another meter of the same name";
            let fix = "route this usage to a meter of another name";
            self.take(&Disagreement::error(subject, what, otherwise, fix));
        }
    }

    /// What a route tells has to be what its meter bills.
    fn against_route(&mut self, route: &Route, meter: &Inspected) {
        let name = &meter.pin.meter;
        let refused = match &meter.promises {
            Err(cannot) => Some((
                cannot.why.clone(),
                format!("its usage would be held ({})", cannot.reason),
                "route this usage to a meter that can be told, or put this one right".to_owned(),
            )),
            Ok(capabilities) => misfit(route, capabilities),
        };
        let Some((why, label, help)) = refused else { return };
        let place = self.config.places.route(&route.name);
        let title = match &meter.promises {
            Err(_) => why,
            Ok(_) => format!("the meter \"{name}\" {why}"),
        };
        let problem = self.problem(place, title).label(label).help(help);
        self.found.disagreements.push(problem);
    }
}

/// Why a route does not fit what is promised for its meter, what comes of it, and what to do.
fn misfit(route: &Route, capabilities: &Capabilities) -> Option<(String, String, String)> {
    let said = |why: &str, label: &str, help: &str| {
        Some((why.to_owned(), label.to_owned(), help.to_owned()))
    };
    let path = format!("`route.{}`", route.name);
    match capabilities.told_as {
        ToldAs::EachRecord if route.window != WindowRule::Record => said(
            &format!("counts events, and {path} sums records up before"),
            "a whole window of records would count as one",
            "set `window = \"record\"`, or name a meter that adds values up",
        ),
        ToldAs::EachRecord if route.aggregate != Aggregate::Count => said(
            &format!("counts events, and {path} sends quantities"),
            "a record of 3 would count as one, and the two books never agree",
            "set `aggregate = \"count\"`, or name a meter that adds values up",
        ),
        ToldAs::Last if route.window != WindowRule::Period => said(
            &format!("bills the last value, and {path} has windows"),
            "its windows would be held",
            "declare the meter with `formula = \"last\"`, and set `aggregate = \"last\"`",
        ),
        // What each window comes to is added up, which a route may mean of levels too.
        ToldAs::EachRecord | ToldAs::Delta | ToldAs::Total | ToldAs::Last => None,
        ToldAs::Entry | ToldAs::Level => {
            let (billed, told) = (capabilities.bills, route.aggregate.fold());
            if billed == told || (billed.adds_up() && told.adds_up()) {
                return None;
            }
            said(
                &format!("bills the {billed} of what it is told, and {path} tells the {told}"),
                "what is billed would be something else than what was used",
                "set `aggregate` to what is billed, or name another meter",
            )
        }
    }
}

/// Whether the account behind a key is another than the pinned one, as the ledger judges it.
fn is_other(pinned: &AccountPin, behind: &AccountPin) -> bool {
    let differ = match (&pinned.account, &behind.account) {
        (Some(pinned), Some(behind)) => pinned != behind,
        (None, _) | (_, None) => false,
    };
    pinned.livemode != behind.livemode || differ
}

const fn mode(livemode: bool) -> &'static str {
    if livemode { "live" } else { "test" }
}
