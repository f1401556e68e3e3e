//! The usage API that Planship's SDKs speak, as it is. Here: reports that become records, and
//! levers, in Planship's shapes. Never here: a record's admission (`intake`), what a lever comes to
//! (`usage`). Read next: `token`.
//!
//! A report has no id and no time. So each is a record of now, under an id that is made here, and
//! one that is sent again counts again: unless it has an `Idempotency-Key`, by which it is the same
//! record for as long as the ledger knows it. It is answered once it is on disk.
//!
//! Only `integer` usage is taken and told, as there; quantities below zero are refused, as a record
//! never takes usage back. Whatever product a report is of, its metering id is the records' meter:
//! the product is a property of the record, by which routes can tell them apart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use self::report::{Invalid, Reported, key, read};
use super::answer::{self, Refusal, with_json};
use super::app::{App, Deadline};
use super::{PlanshipApi, levers, usage};
use crate::domain::digest::{Digest, Fields};
use crate::domain::names::{CustomerName, RecordId};
use crate::domain::quantity::Quantity;
use crate::domain::record::{UsageRecord, identity};
use crate::intake::admit::{Rules, Sources, admit};
use crate::intake::batch::{Batch, Place};
use crate::intake::gate::{GateError, Status, Verdicts};
use crate::ledger::LedgerError;
use crate::ledger::operator::TraceRecord;
use crate::usage::answer::LeverUsage;
use crate::usage::desk::{Figures, Unknown};
use crate::usage::lever::Lever;

pub(super) mod report;
pub(super) mod token;

/// Longest body of a report, in bytes: a bucket's name with room, and no batch.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How many reports with a key may be looked for and booked at once, by what their keys hash to:
/// two with one key never are, so that neither is booked beside the other.
const KEYED_AT_ONCE: usize = 64;

/// A customer, a product, and a metering id or lever.
type Named = Result<Path<(String, String, String)>, PathRejection>;

/// Who takes reports.
pub struct Planship {
    settings: PlanshipApi,
    /// Tells this run's ids from those of every other.
    run: Digest,
    next: AtomicI64,
    keyed: Vec<Mutex<()>>,
}

impl Planship {
    /// Takes reports by `settings`. No two runs over a ledger have the same `run`.
    #[must_use]
    pub fn new(settings: PlanshipApi, run: Digest) -> Arc<Self> {
        let keyed = (0..KEYED_AT_ONCE).map(|_| Mutex::default()).collect();
        Arc::new(Self { settings, run, next: AtomicI64::new(0), keyed })
    }

    /// The id of the record that a report becomes: by its key, or one that no other has.
    fn id(&self, key: Option<&str>) -> String {
        match key {
            Some(key) => format!("key-{key}"),
            None => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let digest = Fields::of("planship report 1").bytes(&self.run).number(number);
                format!("report-{}", hex::encode(digest.finish()))
            }
        }
    }
}

/// `POST /api/v1/auth/token`.
pub(super) async fn token(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let Some(planship) = &app.rooms.planship else { return absent() };
    let settings = &planship.settings;
    if !token::is_client(&headers, settings) {
        return unauthorized("Basic", "Incorrect client ID or client secret");
    }
    let token = token::issue(settings, app.rooms.gate.clock().now());
    let told = json!({
        "access_token": token,
        "token_type": "bearer",
        "expires_in": token::LIFE_SECONDS,
    });
    with_json(StatusCode::OK, &told)
}

/// `POST /api/v1/customers/{customer}/products/{product}/usage/{metering id}`.
pub(super) async fn report(State(app): State<Arc<App>>, path: Named, request: Request) -> Response {
    take(app, path, request).await.unwrap_or_else(|refusal| *refusal)
}

/// `GET` of the same: all levers of a metering id.
pub(super) async fn of_meter(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    path: Named,
    headers: HeaderMap,
) -> Response {
    let asked = async {
        let (_, customer, product, meter) = admitted(&app, &headers, path)?;
        let mut told = Map::new();
        for lever in app.rooms.usage.levers() {
            if lever.meter.as_str() == meter && is_of(lever, &product) {
                let figures = figures(&app, &customer, lever, deadline).await?;
                told.insert(lever.name.to_string(), lever_json(&figures.usage)?);
            }
        }
        Ok(with_json(StatusCode::OK, &told))
    };
    asked.await.unwrap_or_else(|refusal: Refusal| *refusal)
}

/// `GET /api/v1/customers/{customer}/products/{product}/levers/{lever}/usage`.
pub(super) async fn of_lever(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    path: Named,
    headers: HeaderMap,
) -> Response {
    let asked = async {
        let (_, customer, product, name) = admitted(&app, &headers, path)?;
        let found = app.rooms.usage.lever(&name).filter(|lever| is_of(lever, &product));
        let Some(lever) = found else {
            return Err(detail(StatusCode::NOT_FOUND, "Lever not found").into());
        };
        let figures = figures(&app, &customer, lever, deadline).await?;
        Ok(with_json(StatusCode::OK, &lever_json(&figures.usage)?))
    };
    asked.await.unwrap_or_else(|refusal: Refusal| *refusal)
}

fn is_of(lever: &Lever, product: &str) -> bool {
    lever.products.is_empty() || lever.products.contains(product)
}

/// An error as Planship's API says one.
fn detail(status: StatusCode, said: &str) -> Response {
    with_json(status, &json!({ "detail": said }))
}

fn absent() -> Response {
    detail(StatusCode::NOT_FOUND, "Not Found")
}

fn unauthorized(scheme: &'static str, said: &str) -> Response {
    let mut response = detail(StatusCode::UNAUTHORIZED, said);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    response
}

fn invalid(faults: &[Invalid]) -> Refusal {
    let faults: Vec<Value> = faults.iter().map(Invalid::json).collect();
    Refusal::new(with_json(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "detail": faults })))
}

type Admitted = (Arc<Planship>, CustomerName, String, String);

/// Who asks, and what the path names: the customer, the product, and what comes last.
fn admitted(app: &App, headers: &HeaderMap, path: Named) -> Result<Admitted, Refusal> {
    let Some(planship) = &app.rooms.planship else { return Err(absent().into()) };
    if !token::is_known(headers, &planship.settings, app.rooms.gate.clock().now()) {
        return Err(unauthorized("Bearer", "Could not validate credentials").into());
    }
    let unreadable = |_| invalid(&[Invalid::path("customer_id", "is no readable text")]);
    let Path((customer, product, last)) = path.map_err(unreadable)?;
    if !planship.settings.products.contains(&product) {
        return Err(detail(StatusCode::NOT_FOUND, "Product not found").into());
    }
    let customer = CustomerName::new(&customer)
        .map_err(|why| invalid(&[Invalid::path("customer_id", &why.to_string())]))?;
    Ok((Arc::clone(planship), customer, product, last))
}

async fn figures(
    app: &App,
    customer: &CustomerName,
    lever: &Lever,
    deadline: Deadline,
) -> Result<Figures, Refusal> {
    let told = levers::asked(app, customer, lever, deadline).await?;
    told.map_err(|why: Unknown| levers::refused(&why).into())
}

/// A lever's figures, whole numbers all.
fn lever_json(usage: &LeverUsage) -> Result<Value, Refusal> {
    let by_subscription = usage
        .by_subscription
        .iter()
        .map(|(name, buckets)| {
            let bucket = |(bucket, sum): (&Option<String>, &Quantity)| {
                Ok(json!({ "usage": whole(sum)?, "bucket": bucket }))
            };
            Ok((name.clone(), buckets.iter().map(bucket).collect::<Result<Value, Refusal>>()?))
        })
        .collect::<Result<Map<String, Value>, Refusal>>()?;
    Ok(json!({
        "total": whole(&usage.total)?,
        "by_bucket": by_name(&usage.by_bucket)?,
        "by_subscription": by_subscription,
    }))
}

fn by_name(buckets: &BTreeMap<Option<String>, Quantity>) -> Result<Map<String, Value>, Refusal> {
    let name = |bucket: &Option<String>| bucket.clone().unwrap_or_else(|| "null".to_owned());
    buckets.iter().map(|(bucket, sum)| Ok((name(bucket), whole(sum)?))).collect()
}

/// A quantity as the API has it. Other sources may have made it one that it cannot say.
fn whole(quantity: &Quantity) -> Result<Value, Refusal> {
    let number = quantity.to_string().parse::<i64>().map(Value::from);
    number.map_err(|_| {
        let said = format!(
            "the usage is {quantity}, and only whole numbers below 2^63 are told here; ask GET \
             /v1/customers/CUSTOMER/usage/LEVER"
        );
        Refusal::new(detail(StatusCode::CONFLICT, &said))
    })
}

async fn take(app: Arc<App>, path: Named, request: Request) -> Result<Response, Refusal> {
    let (planship, customer, product, meter) = admitted(&app, request.headers(), path)?;
    let key = key(request.headers()).map_err(|why| invalid(&[why]))?;
    let (body, share, _, deadline) = usage::receive_at_most(&app, request, BODY_BYTES_MAX).await?;
    let reported = read(&body).map_err(|faults| invalid(&faults))?;
    let record = record(&app, &planship, &key, (&customer, &product, &meter), &reported)?;
    let told = record_json(&record, &product, &reported);
    // In a task of the server's own: a client that goes away must not take back a commit.
    let task = Arc::clone(&app);
    let booking = app.work.spawn(async move {
        let booked = book(&task, &planship, key.is_some(), record).await;
        drop(share);
        booked
    });
    match answer::outcome(booking, deadline).await? {
        Ok(Booked::Here) => Ok(with_json(StatusCode::OK, &told)),
        Ok(Booked::Other) => {
            let said = "the Idempotency-Key was used for a report that says something else";
            Err(detail(StatusCode::CONFLICT, said).into())
        }
        Err(why) => {
            usage::log_refusal(&why);
            Err(answer::gate_error(&why).into())
        }
    }
}

/// The record that a report is, judged as any other.
fn record(
    app: &App,
    planship: &Planship,
    key: &Option<String>,
    (customer, product, meter): (&CustomerName, &str, &str),
    reported: &Reported,
) -> Result<UsageRecord, Refusal> {
    let (gate, id) = (&app.rooms.gate, planship.id(key.as_deref()));
    let (settings, now) = (gate.settings(), gate.clock().now());
    let sources = Sources::These(vec![planship.settings.source.clone()]);
    let rules = Rules { settings: &settings, sources: &sources, now };
    let fields = reported.fields(&id, (customer.as_str(), product, meter), now);
    admit(fields, &rules).map_err(|fault| invalid(&[Invalid::of(&fault)]))
}

/// What became of a report.
enum Booked {
    /// It is on disk: now, or by its key before.
    Here,
    /// Its key is another report's.
    Other,
}

async fn book(
    app: &App,
    planship: &Planship,
    has_key: bool,
    record: UsageRecord,
) -> Result<Booked, GateError> {
    let Some(lock) = has_key.then(|| planship.lock(&record.id)).flatten() else {
        return admit_one(app, record).await;
    };
    let _alone = lock.lock().await;
    // A copy is made now, and so of another time: it is held against what was booked first.
    let found = app.rooms.ledger.trace(&record.source, &record.id).await;
    let found = found.map_err(|why: LedgerError| app.rooms.gate.refuse(why))?;
    match found.map(|trace| (trace.record, trace.archived)) {
        Some((Some(booked), _)) if says_the_same(&booked, &record) => Ok(Booked::Here),
        // Of an archived one it is not known any more what it said.
        Some((Some(_), _) | (None, Some(_))) => Ok(Booked::Other),
        // Corrections may come before their record.
        Some((None, None)) | None => admit_one(app, record).await,
    }
}

impl Planship {
    fn lock(&self, id: &RecordId) -> Option<&Mutex<()>> {
        let [first, ..] = Fields::of("planship key 1").text(id.as_str()).finish();
        self.keyed.get(usize::from(first) % KEYED_AT_ONCE)
    }
}

async fn admit_one(app: &App, record: UsageRecord) -> Result<Booked, GateError> {
    let mut batch = Batch::default();
    batch.admit(Place::Record(1), record);
    let verdicts: Verdicts = app.rooms.gate.admit(batch).await?;
    usage::count(&app.rooms.metrics, &verdicts);
    let booked = |status: &Status| match status {
        Status::Accepted(_) | Status::Duplicate(_) => Booked::Here,
        Status::Conflict(_) | Status::Rejected => Booked::Other,
    };
    Ok(verdicts.items.first().map_or(Booked::Other, |item| booked(&item.status)))
}

/// Whether a booked record says what `record` does, but for its time.
fn says_the_same(booked: &TraceRecord, record: &UsageRecord) -> bool {
    let field = |name: &str| {
        booked.fields.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str())
    };
    let properties: BTreeMap<&str, &str> =
        record.properties.iter().map(|(name, value)| (name.as_str(), value.as_text())).collect();
    let stored = field("properties").and_then(|text| serde_json::from_str::<Value>(text).ok());
    field("customer") == Some(record.customer.as_str())
        && field("meter") == Some(record.meter.as_str())
        && field("quantity") == Some(record.quantity.to_string().as_str())
        && stored == Some(json!(properties))
}

fn uuid(digest: &Digest) -> String {
    let text = hex::encode(digest);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

/// The record as Planship's API tells one. What it names by numbers of its own is named by hashes.
fn record_json(record: &UsageRecord, product: &str, reported: &Reported) -> Value {
    let named = |kind: &str, name: &str| uuid(&Fields::of(kind).text(name).finish());
    json!({
        "id": uuid(&identity(&record.source, &record.id)),
        "is_allocated": reported.subscription.is_some(),
        "usage": reported.usage,
        "metering_id": record.meter.as_str(),
        "customer_id": named("planship customer 1", record.customer.as_str()),
        "product_id": named("planship product 1", product),
        "subscription_id": reported.subscription,
        "bucket": reported.bucket,
    })
}

/// The header by which a report that is sent again is known.
pub(super) const KEY: &str = "idempotency-key";
