//! The way to the provider, and what goes wrong on it. Here: the program's own Stripe room for what
//! it promises, writes and reads, with this in place of its connection. Never here: the provider's
//! rules (see [`crate::server`]). Read next: [`crate::ports`].

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::event::{EventIntent, Says};
use tallyd::domain::names::{AccountName, ProviderMeter};
use tallyd::domain::provider_facts::{AccountPin, Formula, Lanes, MeterPin};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::time::{Timestamp, Window};
use tallyd::provider::stripe::Stripe;
use tallyd::provider::stripe::classify::{self, adjustment};
use tallyd::provider::{
    CannotTell, Capabilities, Contact, EncodeError, Encoded, Grouping, NoticeReader, Provider,
    Request, Total, Totals,
};
use tokio::sync::Mutex;

use crate::faults::Class;
use crate::plants::{self, Plant};
use crate::scene::{Scene, Stage};
use crate::server::{Adds, DAY, HOUR, MINUTE, Reply, SECOND, Straggler};

/// What becomes of a request on its way.
enum Way {
    /// It arrives, and so does its answer.
    Clear,
    /// Nothing left this host.
    NotConnected,
    /// It arrives; the answer does not.
    LostAnswer,
    /// Neither arrives.
    Swallowed,
    /// It arrives after so long; nobody waits for the answer.
    Zombie(i64),
    /// The provider fails: after processing it or not, and keeps the answer or not.
    ServerError { processed: bool, kept: bool },
    /// A stranger's page answers, in front of a request that is processed or not.
    ProxyPage { processed: bool },
    /// The provider says this instead of looking at it.
    Says(Reply),
    /// It is processed, and rejected after so long.
    RejectedLater(i64),
}

/// The provider, as the program sees it.
pub(crate) struct Wire {
    stripe: Arc<Stripe>,
    stage: Stage,
    /// Reads the ledger beside the program: an intent must be there before its request.
    ledger: Mutex<SqliteConnection>,
}

impl Wire {
    pub(crate) fn new(stripe: Arc<Stripe>, stage: Stage, ledger: SqliteConnection) -> Self {
        Self { stripe, stage, ledger: Mutex::new(ledger) }
    }

    pub(crate) fn stripe(&self) -> &Stripe {
        &self.stripe
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// That the intent to send is on disk: an attempt with this key and without an answer. Answers
    /// whether an earlier attempt may have landed, as the ledger has it.
    async fn check_intent(&self, request: &Request<'_>) -> bool {
        let query = "SELECT count(*) AS intents, max(e.ambiguous) AS ambiguous FROM attempt AS a \
            JOIN meter_event AS e ON e.id = a.event_id \
            LEFT JOIN receipt AS r ON r.attempt_id = a.id \
            WHERE e.identifier = ?1 AND a.idempotency_key = ?2 AND r.attempt_id IS NULL";
        let mut ledger = self.ledger.lock().await;
        let row = sqlx::query(query)
            .bind(request.identifier)
            .bind(request.idempotency_key)
            .fetch_one(&mut *ledger)
            .await
            .expect("the ledger can be read beside the program");
        if row.get::<i64, _>("intents") == 0 {
            let what = format!("{} left without an intent on disk", request.identifier);
            self.stage.scene().server.wrongs.push(("intent-first", what));
        }
        let ambiguous = row.get::<Option<i64>, _>("ambiguous") == Some(1);
        if self.stage.scene().server.billing.on {
            self.check_period(request, &mut ledger).await;
        }
        ambiguous
    }

    /// What the program makes of a reply.
    fn classified(&self, scene: &Scene, request: &Request<'_>, reply: &Reply) -> Answer {
        let (received, livemode) = (self.received(scene, reply), false);
        match request.says {
            Says::Usage => {
                let identifier = request.identifier;
                classify::meter_event(&received, classify::Expected { identifier, livemode })
            }
            Says::Cancel(target) => {
                let expected = adjustment::Expected { target: target.as_str(), livemode };
                adjustment::adjustment(&received, expected)
            }
        }
    }

    fn received(&self, scene: &Scene, reply: &Reply) -> classify::Received {
        let date = chrono::DateTime::from_timestamp(scene.server.now / SECOND, 0)
            .expect("the provider's clock shows a time");
        classify::Received {
            status: reply.status,
            request_id: Some("req_1".to_owned()),
            should_retry: reply.should_retry.map(str::to_owned),
            rate_limited_reason: reply.limited.map(str::to_owned),
            retry_after: reply.retry_after.map(|seconds| seconds.to_string()),
            date: Some(date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()),
            body: reply.body.clone().into_bytes(),
            broken: None,
        }
    }
}

/// Draws what becomes of a request.
fn way(scene: &mut Scene, request: &Request<'_>) -> Way {
    let identifier = request.identifier;
    let way = drawn_way(scene, request);
    let class = match &way {
        Way::Clear | Way::Says(_) => None,
        Way::NotConnected => Some(Class::NotConnected),
        Way::LostAnswer => Some(Class::LostAnswer),
        Way::Swallowed => Some(Class::Swallowed),
        Way::Zombie(_) => Some(Class::Zombie),
        Way::ServerError { .. } => Some(Class::ServerError),
        Way::ProxyPage { .. } => Some(Class::ProxyPage),
        Way::RejectedLater(_) => Some(Class::RejectedLater),
    };
    let now = scene.server.now;
    let witness = scene.witnesses.entry(identifier.to_owned()).or_default();
    if let Some(class) = class {
        *witness.faults.entry(class).or_default() += 1;
    }
    if !matches!(way, Way::NotConnected | Way::Says(_)) {
        witness.attempts.push(now);
    }
    way
}

/// The provider answers so, whatever it was asked.
fn says(scene: &mut Scene, identifier: &str, class: Class, reply: Reply) -> Way {
    let witness = scene.witnesses.entry(identifier.to_owned()).or_default();
    *witness.faults.entry(class).or_default() += 1;
    Way::Says(reply)
}

fn drawn_way(scene: &mut Scene, request: &Request<'_>) -> Way {
    through_episode(scene, request.identifier)
        .or_else(|| lost_on_the_way(scene))
        .unwrap_or_else(|| what_it_says(scene, request))
}

/// What an episode that goes on makes of a request.
fn through_episode(scene: &mut Scene, identifier: &str) -> Option<Way> {
    let now = scene.server.now;
    if now < scene.episodes.outage {
        let swallowed = scene.faults.stream(Class::Outage).one_in(3);
        return Some(if swallowed { Way::Swallowed } else { Way::NotConnected });
    }
    if now < scene.episodes.mute {
        scene.faults.count(Class::LostAnswer);
        return Some(Way::LostAnswer);
    }
    if now < scene.episodes.key_refused {
        let reply = Reply::error(401, "invalid_request_error", "Invalid API Key provided.");
        return Some(says(scene, identifier, Class::KeyRefused, reply));
    }
    if now < scene.episodes.rate_storm && !scene.faults.stream(Class::RateStorm).one_in(6) {
        scene.faults.count(Class::RateStorm);
        let mut reply = Reply::error(429, "invalid_request_error", "Too many requests.");
        reply.limited = Some("global-rate");
        let asked = scene.faults.stream(Class::RateStorm).between(1, 60);
        let asked = u32::try_from(asked).expect("it is small");
        reply.retry_after = scene.faults.stream(Class::RateStorm).one_in(2).then_some(asked);
        return Some(says(scene, identifier, Class::RateStorm, reply));
    }
    None
}

/// What becomes of a request or of its answer on the way.
fn lost_on_the_way(scene: &mut Scene) -> Option<Way> {
    let faults = &mut scene.faults;
    if faults.strikes(Class::NotConnected, 12) {
        return Some(Way::NotConnected);
    }
    if faults.strikes(Class::LostAnswer, 5) {
        return Some(Way::LostAnswer);
    }
    if faults.strikes(Class::Swallowed, 6) {
        return Some(Way::Swallowed);
    }
    if faults.strikes(Class::Zombie, 6) {
        let chance = faults.stream(Class::Zombie);
        let longest = if chance.percent(70) { 40 * MINUTE } else { 20 * HOUR };
        return Some(Way::Zombie(chance.between(MINUTE, longest)));
    }
    if faults.strikes(Class::ServerError, 6) {
        let chance = faults.stream(Class::ServerError);
        return Some(Way::ServerError { processed: chance.one_in(2), kept: chance.one_in(2) });
    }
    if faults.strikes(Class::ProxyPage, 6) {
        return Some(Way::ProxyPage { processed: faults.stream(Class::ProxyPage).one_in(2) });
    }
    None
}

/// What the provider itself makes of a request that arrived.
fn what_it_says(scene: &mut Scene, request: &Request<'_>) -> Way {
    let identifier = request.identifier;
    if scene.faults.strikes(Class::Busy, 6) {
        let reply = Reply::error(409, "invalid_request_error", "Another request is under way.");
        return says(scene, identifier, Class::Busy, reply);
    }
    if scene.faults.strikes(Class::Refused, 4) {
        let reply = Reply::error(400, "invalid_request_error", "No such customer.");
        return says(scene, identifier, Class::Refused, reply);
    }
    // A provider that lies about what may be there cannot be found out by its answers.
    let usage = matches!(request.says, Says::Usage);
    if usage && !scene.may_be_there && scene.faults.strikes(Class::FalseDuplicate, 4) {
        let said = format!("An event already exists with identifier {identifier}.");
        let reply = Reply::error(400, "invalid_request_error", &said);
        return says(scene, identifier, Class::FalseDuplicate, reply);
    }
    if scene.faults.strikes(Class::RejectedLater, 6) {
        return Way::RejectedLater(
            scene.faults.stream(Class::RejectedLater).between(SECOND, 2 * HOUR),
        );
    }
    Way::Clear
}

/// What comes back of a request, if anything: the answer, or why there is none.
fn travel(scene: &mut Scene, request: &Request<'_>, body: &[u8]) -> Result<Reply, Answer> {
    let key = request.idempotency_key;
    let lost = |why: &str| Err(Answer::bare(Outcome::Unknown, why));
    match way(scene, request) {
        Way::Clear => {
            let reply = scene.server.receive(body, key, None);
            if reply.status >= 500 {
                scene.server.answers_failure_again(key);
            }
            Ok(reply)
        }
        Way::NotConnected => Err(Answer::bare(Outcome::NotSent, "connection refused")),
        Way::LostAnswer => {
            scene.server.receive(body, key, None);
            lost("the answer was lost")
        }
        Way::Swallowed => lost("timed out"),
        Way::Zombie(delay) => {
            // No request is held up on its way past the margin of the provider's promise: where the
            // identifier is old, the delay is cut to what the margin was chosen for.
            let first = scene.server.first_seen.get(request.identifier).copied();
            let now = scene.server.now;
            let latest = first.unwrap_or(now) + DAY - 20 * MINUTE;
            let lands_at = (now + delay).min(latest.max(now + 10 * MINUTE));
            let straggler = Straggler { lands_at, body: body.to_vec(), key: key.to_owned() };
            scene.server.stragglers.push(straggler);
            lost("timed out")
        }
        Way::ServerError { processed, kept } => {
            let reply = Reply::error(500, "api_error", "An unknown error occurred.");
            if processed {
                scene.server.receive(body, key, None);
            }
            if kept {
                scene.server.keep(key, body, &reply);
            }
            Ok(reply)
        }
        Way::ProxyPage { processed } => {
            if processed {
                scene.server.receive(body, key, None);
            }
            Ok(Reply::of(502, "<html>Bad Gateway</html>".to_owned()))
        }
        Way::Says(reply) => Ok(reply),
        Way::RejectedLater(delay) => {
            let at = scene.server.now + delay;
            Ok(scene.server.receive(body, key, Some(at)))
        }
    }
}

/// The process ends with a request on its way: it arrives, or it does not.
fn crash_on_the_way(scene: &mut Scene, request: &Request<'_>, body: &[u8]) {
    if scene.faults.stream(Class::CrashSending).one_in(2) {
        drop(travel(scene, request, body));
    }
    let now = scene.server.now;
    let witness = scene.witnesses.entry(request.identifier.to_owned()).or_default();
    *witness.faults.entry(Class::CrashSending).or_default() += 1;
    witness.attempts.push(now);
    scene.trace.note(format!("crash while sending {}", request.identifier));
}

#[async_trait]
impl Provider for Wire {
    fn capabilities(&self, meter: &ProviderMeter) -> Result<Capabilities, CannotTell> {
        let mut capabilities = self.stripe.capabilities(meter)?;
        if self.stage.scene().has(Plant::NoHorizon)
            && let Some(promise) = &mut capabilities.read_back
        {
            (promise.lag_micros, promise.landing_micros) = (0, 0);
        }
        Ok(capabilities)
    }

    fn notice_reader(&self) -> Option<Arc<dyn NoticeReader>> {
        None
    }

    fn account_prefix(&self) -> &'static str {
        self.stripe.account_prefix()
    }

    fn lanes(&self) -> Lanes {
        Lanes::OfMeters
    }

    fn recognises_for_micros(&self) -> i64 {
        let micros = self.stripe.recognises_for_micros();
        if self.stage.scene().has(Plant::NoMargin) { micros + 40 * HOUR } else { micros }
    }

    fn adopt_meters(&self, meters: Vec<MeterPin>) {
        self.stripe.adopt_meters(meters);
    }

    fn encode(
        &self,
        meter: &ProviderMeter,
        account: &AccountName,
        intent: &EventIntent,
    ) -> Result<Encoded, EncodeError> {
        let encoded = self.stripe.encode(meter, account, intent)?;
        Ok(match self.stage.scene().plant {
            Some(Plant::LostRemainder) => plants::rounded(encoded),
            Some(_) | None => encoded,
        })
    }

    async fn send(&self, request: Request<'_>) -> Answer {
        let ambiguous = self.check_intent(&request).await;
        let (lane, crash, body) = {
            let mut scene = self.stage.scene();
            scene.may_be_there = ambiguous;
            let body = plants::bytes(&scene, &request);
            let lane = scene.server.leaves(request.identifier, &body);
            (lane, scene.faults.strikes(Class::CrashSending, 8), body)
        };
        // Requests of one step are on their way together.
        tokio::task::yield_now().await;
        self.stage.scene().may_be_there = ambiguous;
        if crash {
            crash_on_the_way(&mut self.stage.scene(), &request, &body);
            self.stage.end().await;
        }
        let mut scene = self.stage.scene();
        let came = travel(&mut scene, &request, &body);
        scene.server.is_over(&lane);
        let answer = match came {
            Ok(reply) => self.classified(&scene, &request, &reply),
            Err(answer) => answer,
        };
        let outcome = answer.outcome.kind();
        scene.reach(format!("outcome {outcome}"));
        scene.trace.note(format!("send {} {outcome}", request.identifier));
        answer
    }

    async fn read_totals(
        &self,
        meter: &ProviderMeter,
        account: &AccountName,
        span: Window,
        grouping: Grouping,
    ) -> Result<Totals, Answer> {
        let mut scene = self.stage.scene();
        unreachable_now(&mut scene)?;
        if scene.faults.strikes(Class::TotalUnread, 4) {
            return Err(Answer::bare(Outcome::Failed, "An unknown error occurred."));
        }
        let now = scene.server.now;
        let lane = (meter.as_str().to_owned(), account.as_str().to_owned());
        // A copy that is behind answers once: by the next look that comes to anything it has caught
        // up.
        let stale = !scene.stale.contains(&lane) && scene.faults.strikes(Class::StaleTotal, 4);
        scene.told_fresh = (!stale).then(|| lane.clone());
        let as_of = if stale {
            scene.stale.insert(lane.clone());
            now - scene.faults.stream(Class::StaleTotal).between(8 * HOUR, 72 * HOUR)
        } else {
            now
        };
        let step = match grouping {
            Grouping::Whole => span.end.micros_since(span.start),
            Grouping::Day => DAY,
            Grouping::Hour => HOUR,
        };
        let grain = if grouping == Grouping::Whole { MINUTE } else { step };
        if span.start.micros() % grain != 0 || span.end.micros() % grain != 0 || step <= 0 {
            scene.server.wrongs.push(("well-formed", format!("a total of {span} was asked for")));
        }
        let mut parts = Vec::new();
        let mut start = span.start;
        while start < span.end {
            let end = start.plus_micros(step);
            let bounds = (start.micros(), end.micros());
            let total = scene.server.total((&lane.0, &lane.1), bounds, as_of);
            let quantity = Quantity::parse_unbounded(&total.to_string()).expect("it is plain");
            parts.push(Total { span: Window { start, end }, quantity });
            start = end;
        }
        let stale = if stale { "stale" } else { "fresh" };
        scene.reach(format!("total by {grouping}"));
        scene.trace.note(format!("{stale} totals of {} {} {span}", lane.0, lane.1));
        Ok(Totals { parts, provider_at: Some(Timestamp::from_seconds(now / SECOND)), calls: 1 })
    }

    async fn contact(&self) -> Result<Contact, Answer> {
        let mut scene = self.stage.scene();
        unreachable_now(&mut scene)?;
        let now = scene.server.now;
        let pins = scene.server.meters.iter().map(|(meter, adds)| pin(meter, *adds)).collect();
        Ok(Contact {
            account: AccountPin { account: Some("acct_1".to_owned()), livemode: false },
            meters: pins,
            provider_at: Some(Timestamp::from_seconds(now / SECOND)),
            declared_other: None,
            unusable: Vec::new(),
        })
    }
}

/// Why nothing can be read now, if nothing can.
pub(crate) fn unreachable_now(scene: &mut Scene) -> Result<(), Answer> {
    let now = scene.server.now;
    if now < scene.episodes.outage || now < scene.episodes.mute {
        return Err(Answer::bare(Outcome::NotSent, "connection refused"));
    }
    if now < scene.episodes.key_refused {
        return Err(Answer::bare(Outcome::Unauthorized, "Invalid API Key provided."));
    }
    if scene.faults.strikes(Class::NotConnected, 12) {
        return Err(Answer::bare(Outcome::NotSent, "connection refused"));
    }
    Ok(())
}

/// A meter as the provider lists it.
pub(crate) fn pin(meter: &str, adds: Adds) -> MeterPin {
    MeterPin {
        meter: ProviderMeter::new(meter).expect("it is a name"),
        id: Some(format!("mtr_{meter}")),
        formula: match adds {
            Adds::Values => Formula::Sum,
            Adds::Events => Formula::Count,
        },
        customer_key: "stripe_customer_id".to_owned(),
        value_key: "value".to_owned(),
        span: None,
        active: true,
        learned: true,
    }
}
