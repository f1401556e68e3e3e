//! The provider, as the program sees it. Here: the program's own room of it for what it promises,
//! writes and reads, with this in place of its connection. Never here: the provider's rules (see
//! [`crate::server`]). Read next: [`way`], which is what goes wrong.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::event::{EventIntent, Says};
use tallyd::domain::names::{AccountName, ProviderMeter};
use tallyd::domain::provider_facts::{AccountPin, Formula, Lanes, MeterPin, Span};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::time::{Timestamp, Window};
use tallyd::provider::billing::BillingReader;
use tallyd::provider::{
    CannotTell, Capabilities, Contact, EncodeError, Encoded, Grouping, Inspection, NoticeReader,
    Provider, Request, Total, Totals,
};
use tokio::sync::Mutex;

use crate::faults::Class;
use crate::plants::{self, Plant};
use crate::scene::{Scene, Stage};
use crate::server::{Adds, DAY, HOUR, Keeps, MINUTE, SECOND};
use crate::workload::Meters;

mod answer;
mod way;

use way::{crash_on_the_way, travel};

/// The program's own room of a provider.
#[derive(Clone)]
pub(crate) struct Room {
    pub(crate) provider: Arc<dyn Provider>,
    /// What reads how it bills; nothing where that is not followed.
    pub(crate) billing: Option<Arc<dyn BillingReader>>,
}

impl Room {
    /// That of a provider whose bills are followed.
    pub(crate) fn billed<R: Provider + BillingReader + 'static>(room: Arc<R>) -> Self {
        Self { provider: room.clone(), billing: Some(room) }
    }
}

/// The provider, as the program sees it.
pub(crate) struct Wire {
    room: Room,
    stage: Stage,
    /// Reads the ledger beside the program: an intent must be there before its request.
    ledger: Mutex<SqliteConnection>,
}

impl Wire {
    pub(crate) fn new(room: Room, stage: Stage, ledger: SqliteConnection) -> Self {
        Self { room, stage, ledger: Mutex::new(ledger) }
    }

    pub(crate) fn billing(&self) -> &dyn BillingReader {
        self.room.billing.as_deref().expect("its bills are followed")
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
}

#[async_trait]
impl Provider for Wire {
    fn capabilities(&self, meter: &ProviderMeter) -> Result<Capabilities, CannotTell> {
        let mut capabilities = self.room.provider.capabilities(meter)?;
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

    fn lanes(&self) -> Lanes {
        self.room.provider.lanes()
    }

    fn undoes(&self) -> bool {
        self.room.provider.undoes()
    }

    fn recognises_for_micros(&self) -> Option<i64> {
        if self.stage.scene().has(Plant::ResentBlind) {
            return Some(35 * DAY);
        }
        let micros = self.room.provider.recognises_for_micros()?;
        let is_planted = self.stage.scene().has(Plant::NoMargin);
        Some(if is_planted { micros + 40 * HOUR } else { micros })
    }

    fn adopt_meters(&self, meters: Vec<MeterPin>) {
        self.room.provider.adopt_meters(meters);
    }

    fn encode(
        &self,
        meter: &ProviderMeter,
        account: &AccountName,
        intent: &EventIntent,
    ) -> Result<Encoded, EncodeError> {
        let mut intent = intent.clone();
        if self.stage.scene().has(Plant::TotalSaysChange) {
            intent.total = None;
        }
        let encoded = self.room.provider.encode(meter, account, &intent)?;
        Ok(match self.stage.scene().plant {
            Some(Plant::LostRemainder) => plants::rounded(encoded),
            Some(_) | None => encoded,
        })
    }

    async fn send(&self, request: Request<'_>) -> Answer {
        let mut answers = self.send_batch(std::slice::from_ref(&request)).await;
        answers.pop().expect("each event is answered")
    }

    fn is_batched(&self, says: &Says, body: &[u8]) -> bool {
        self.room.provider.is_batched(says, body)
    }

    fn batch_max(&self) -> u32 {
        self.room.provider.batch_max()
    }

    async fn send_batch(&self, requests: &[Request<'_>]) -> Vec<Answer> {
        let mut ambiguous = false;
        for request in requests {
            ambiguous |= self.check_intent(request).await;
        }
        let (lanes, crash, bodies) = {
            let mut scene = self.stage.scene();
            scene.may_be_there = ambiguous;
            let (mut lanes, mut bodies) = (Vec::new(), Vec::new());
            for request in requests {
                let body = plants::bytes(&scene, request);
                let body = scene.server.keeps.whole(request, body);
                lanes.push(scene.server.leaves(request.identifier, &body));
                bodies.push(body);
            }
            (lanes, scene.faults.strikes(Class::CrashSending, 8), bodies)
        };
        // Requests of one step are on their way together.
        tokio::task::yield_now().await;
        self.stage.scene().may_be_there = ambiguous;
        if crash {
            crash_on_the_way(&mut self.stage.scene(), requests, &bodies);
            self.stage.end().await;
        }
        let mut scene = self.stage.scene();
        let came = travel(&mut scene, requests, &bodies);
        for lane in &lanes {
            scene.server.is_over(lane);
        }
        let answers = match came {
            Ok(reply) => answer::of(&mut scene, requests, &reply),
            Err(answer) => vec![answer; requests.len()],
        };
        if requests.len() > 1 {
            scene.reach("several events by one request");
        }
        for (request, answer) in requests.iter().zip(&answers) {
            let outcome = answer.outcome.kind();
            scene.reach(format!("outcome {outcome}"));
            scene.trace.note(format!("send {} {outcome}", request.identifier));
        }
        answers
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
        let smallest = match (scene.server.keeps, scene.server.span(&lane.0)) {
            // What a window that is cut in two would be told as, nobody knows.
            (_, Some(window)) => window,
            (Keeps::Events, None) => MINUTE,
            (Keeps::Entries | Keeps::Counts(_), None) => SECOND,
        };
        let grain = if grouping == Grouping::Whole { smallest } else { step };
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

    /// Nobody inspects a provider while the machine runs.
    async fn inspect(&self, _routed: &BTreeSet<ProviderMeter>) -> Inspection {
        Inspection::default()
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

/// The span of which a meter keeps one total.
fn span(adds: Adds) -> Option<Span> {
    match adds {
        Adds::Totals(DAY) => Some(Span::Day),
        Adds::Totals(_) => Some(Span::Hour),
        Adds::Values
        | Adds::Distinct
        | Adds::Events
        | Adds::Newest
        | Adds::Largest
        | Adds::Gauge => None,
    }
}

/// Those meters that keep totals or bill the last value, as an operator declares them.
pub(crate) fn declared(meters: Meters) -> Vec<MeterPin> {
    let pins = meters.iter().map(|(meter, adds)| pin(meter, *adds));
    let told_so = pins.filter(|pin| pin.span.is_some() || pin.formula == Formula::Last);
    told_so.map(|pin| MeterPin { id: None, learned: false, ..pin }).collect()
}

/// A meter as the provider lists it.
pub(crate) fn pin(meter: &str, adds: Adds) -> MeterPin {
    MeterPin {
        meter: ProviderMeter::new(meter).expect("it is a name"),
        id: Some(format!("mtr_{meter}")),
        formula: match adds {
            // How a site comes to its bills is not its meters' to say.
            Adds::Values | Adds::Distinct | Adds::Newest | Adds::Largest | Adds::Totals(_) => {
                Formula::Sum
            }
            Adds::Events => Formula::Count,
            Adds::Gauge => Formula::Last,
        },
        customer_key: "stripe_customer_id".to_owned(),
        value_key: "value".to_owned(),
        span: span(adds),
        active: true,
        learned: true,
    }
}
