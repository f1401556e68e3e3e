//! The rules of a provider that keeps events: each adds to a total, and is cancelled by its
//! identifier for a day. Never here: a request on its way (see [`crate::wire`]). Read next:
//! [`super::totals`].

use serde_json::Value;
use tallyd::domain::time::Timestamp;

use super::{Adds, Asked, DAY, MINUTE, Reply, SECOND, Server, Taken, Understood, fields};
use crate::amount::Amount;

impl Server {
    /// What the stream makes of one event: it says yes, and looks at it then.
    pub(super) fn stream(&mut self, asked: Understood, rejects_at: Option<i64>) -> Reply {
        if asked.value.finer_than(0) != Amount::ZERO || asked.value <= Amount::ZERO {
            let what = format!("{} went by the stream", asked.identifier);
            self.wrongs.push(("well-formed", what));
        }
        if self.refusal(&asked).is_some() {
            self.rule("refused later by the stream");
            self.will_report(&asked.meter, &asked.identifier, self.now + MINUTE);
        } else if self.take(asked, rejects_at).status == 200 {
            self.rule("taken by the stream");
        } else {
            self.rule("dropped by the stream");
        }
        Reply::of(200, "{}".to_owned())
    }

    pub(super) fn take(&mut self, asked: Understood, rejects_at: Option<i64>) -> Reply {
        if let Some(refusal) = self.refusal(&asked) {
            return refusal;
        }
        let newest = self.taken.get(&asked.identifier).and_then(|taken| taken.last());
        if newest.is_some_and(|newest| self.now < newest.received_at + self.window) {
            self.rule("duplicate identifier");
            let said = format!("An event already exists with identifier {}.", asked.identifier);
            let mut reply = Reply::error(400, "invalid_request_error", &said);
            reply.should_retry = Some("false");
            return reply;
        }
        let value = match self.meters.get(&asked.meter) {
            Some(Adds::Events) => Amount::of(1, 0),
            Some(
                Adds::Values
                | Adds::Distinct
                | Adds::Newest
                | Adds::Largest
                | Adds::Totals(_)
                | Adds::Gauge,
            )
            | None => asked.value,
        };
        if newest.is_some_and(|newest| newest.counts(self.now))
            // The same total once more is the same total.
            && self.span(&asked.meter).is_none()
            && !self.is_gauge(&asked.meter)
            && !self.stands_for_another(&asked.meter, &asked.account, value)
        {
            let what = format!("{} is counted a second time", asked.identifier);
            self.wrongs.push(("counted-once", what));
        }
        self.watch_totals(&asked);
        self.rule("taken");
        let reply = Reply::of(200, event_body(&asked, self.now));
        let order = self.received();
        if let Some(at) = rejects_at {
            self.will_report(&asked.meter, &asked.identifier, at);
        }
        self.taken.entry(asked.identifier).or_default().push(Taken {
            meter: asked.meter,
            account: asked.account,
            value,
            at: asked.at,
            received_at: self.now,
            rejected_at: rejects_at,
            cancelled_at: None,
            lag: self.lag,
            order,
        });
        reply
    }

    /// Whether some event of this meter and account was sent, says as much, and does not count. A
    /// total cannot tell such two apart, nor need it: one may stand for the other.
    fn stands_for_another(&self, meter: &str, account: &str, value: Amount) -> bool {
        let of_the_lane = |lane: &(String, String)| lane.0 == meter && lane.1 == account;
        let says = |name: &str| {
            let bytes = self.first_bytes.get(name)?;
            match self.keeps.understand(bytes)? {
                Asked::Usage(usage) => Some(usage.value),
                Asked::Cancel(_) => None,
            }
        };
        let mut lanes = self.lanes.iter().filter(|(_, lane)| of_the_lane(lane));
        lanes.any(|(name, _)| {
            let counts = self
                .taken
                .get(name)
                .is_some_and(|taken| taken.iter().any(|each| each.counts(self.now)));
            !counts && (says(name) == Some(value) || self.counts_events(meter))
        })
    }

    fn counts_events(&self, meter: &str) -> bool {
        self.meters.get(meter) == Some(&Adds::Events)
    }

    pub(super) fn cancel(&mut self, target: &str, undone: bool) -> Reply {
        let now = self.now;
        let refuse = |message: &str| Reply::error(400, "invalid_request_error", message);
        let meter = self.taken.get(target).and_then(|taken| taken.last());
        let overwrites =
            |taken: &Taken| self.span(&taken.meter).is_some() || self.is_gauge(&taken.meter);
        if meter.is_some_and(overwrites) {
            let what = format!("{target} is cancelled, and its meter keeps totals");
            self.wrongs.push(("totals-stay", what));
        }
        let Some(taken) = self.taken.get_mut(target).and_then(|taken| taken.last_mut()) else {
            self.rule("cancel of nothing");
            return refuse("No event was found with that identifier.");
        };
        if taken.cancelled_at.is_some() {
            self.rule("cancelled already");
            return refuse("The event was already cancelled.");
        }
        if now >= taken.received_at + DAY {
            self.rule("cancel too late");
            return refuse("The event was received more than 24 hours ago.");
        }
        if undone {
            self.rule("cancelled, and not done");
        } else {
            taken.cancelled_at = Some(now);
            self.rule("cancelled");
        }
        self.cancels.insert(target.to_owned());
        let body = serde_json::json!({
            "object": "billing.meter_event_adjustment",
            "cancel": { "identifier": target },
            "event_name": "-",
            "livemode": false,
            "status": "pending",
            "type": "cancel",
        });
        Reply::of(200, body.to_string())
    }

    fn refusal(&mut self, asked: &Understood) -> Option<Reply> {
        let refuse = |message: &str| Reply::error(400, "invalid_request_error", message);
        if !self.meters.contains_key(&asked.meter) {
            self.rule("no active meter");
            return Some(refuse("No active meter found for the event name."));
        }
        if asked.at < self.now - 35 * DAY {
            self.rule("too far in the past");
            return Some(refuse("The timestamp is too far in the past."));
        }
        if asked.at > self.now + 5 * MINUTE {
            self.rule("in the future");
            return Some(refuse("The timestamp is too far in the future."));
        }
        if asked.value.digits() > 15 {
            self.rule("too many digits");
            return Some(refuse("The value has too many digits."));
        }
        None
    }
}

fn event_body(asked: &Understood, now: i64) -> String {
    serde_json::json!({
        "object": "billing.meter_event",
        "created": now / SECOND,
        "event_name": asked.meter,
        "identifier": asked.identifier,
        "livemode": false,
        "timestamp": asked.at / SECOND,
    })
    .to_string()
}

/// Whether these bytes are an event of the stream's.
pub(super) fn is_streamed(body: &[u8]) -> bool {
    body.first() == Some(&b'{')
}

/// Reads the one event in a request to the stream.
fn understand_streamed(body: &[u8]) -> Option<Asked> {
    let request: Value = serde_json::from_slice(body).ok()?;
    let [event] = request["events"].as_array()?.as_slice() else { return None };
    let text = |field: &Value| field.as_str().map(str::to_owned);
    Some(Asked::Usage(Understood {
        meter: text(&event["event_name"])?,
        account: text(&event["payload"]["stripe_customer_id"])?,
        identifier: text(&event["identifier"])?,
        at: Timestamp::parse_rfc3339(event["timestamp"].as_str()?)?.micros(),
        value: Amount::parse(event["payload"]["value"].as_str()?)?,
    }))
}

/// Reads the form of a request.
pub(super) fn understand(body: &[u8]) -> Option<Asked> {
    if is_streamed(body) {
        return understand_streamed(body);
    }
    let fields = fields(body);
    let field = |name: &str| fields.get(name).cloned();
    if field("type").as_deref() == Some("cancel") {
        return field("cancel[identifier]").map(Asked::Cancel);
    }
    let at: i64 = field("timestamp")?.parse().ok()?;
    Some(Asked::Usage(Understood {
        meter: field("event_name")?,
        account: field("payload[stripe_customer_id]")?,
        identifier: field("identifier")?,
        at: at * SECOND,
        value: Amount::parse(&field("payload[value]")?)?,
    }))
}
