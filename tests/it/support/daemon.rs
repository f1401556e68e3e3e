//! The real binary as a child process, with the sandbox in this one. Here: its home, its start, its
//! signals, its levels. Never here: an expectation beyond "it starts" and "it gets there in time".
//! Read next: `crate::lifecycle`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tallyd::clock::{Clock, SystemClock};
use tallyd::domain::time::{MICROS_PER_SECOND, Timestamp};
use tallyd::ledger::operator::OperatorLedger;
use tallyd::sandbox::stripe::{Formula, Limits, NewMeter, Settings};
use tallyd::sandbox::{Sandbox, SandboxHandle, Settings as SandboxSettings};
use tallyd::store::sqlite::SqliteLedger;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::stripe::client;

/// The provider's key. It must never be seen again outside the environment.
pub(crate) const KEY: &str = "sk_test_canaryOfTheLifecycle";
/// The token that may speak for the source `web`. The same goes for it.
pub(crate) const TOKEN: &str = "canary-token-of-the-lifecycle";
/// The meters of every world here.
pub(crate) const METERS: [&str; 2] = ["calls", "bytes"];
/// How long a daemon may take to get anywhere, in seconds: far more than it needs on a busy host.
const DEADLINE_SECONDS: u64 = 30;
/// Time between two looks at a level, in milliseconds.
const LOOK_MILLIS: u64 = 10;

/// Sums by meter and customer, as plain decimal text.
pub(crate) type Sums = BTreeMap<(String, String), String>;

/// Looks until `reached`, and fails with `what` and the last `seen` when that takes too long.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let mut seen = String::new();
    let looking = async {
        let mut ticks = interval(Duration::from_millis(LOOK_MILLIS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match look().await {
                Ok(reached) => return reached,
                Err(not_yet) => seen = not_yet,
            }
        }
    };
    let reached = timeout(Duration::from_secs(DEADLINE_SECONDS), looking).await.ok();
    reached.unwrap_or_else(|| panic!("{what}: not within {DEADLINE_SECONDS} s; last: {seen}"))
}

/// The present second: real processes live by the real clock.
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

/// A sandbox by the real clock, until it is dropped.
pub(crate) struct Billing {
    pub(crate) handle: SandboxHandle,
    pub(crate) url: String,
    pub(crate) chargebee_url: String,
    pub(crate) cryptolens_url: String,
    pub(crate) planship_url: String,
    _tasks: JoinSet<()>,
}

impl Billing {
    /// One without limits, that has the meters.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut stripe = Settings {
            limits: Limits::NONE,
            meters: METERS.map(|name| NewMeter::new(name, Formula::Sum)).to_vec(),
            ..Settings::default()
        };
        change(&mut stripe);
        let settings = SandboxSettings { stripe, ..SandboxSettings::default() };
        let sandbox = Sandbox::bind(settings, Arc::new(SystemClock)).await.unwrap();
        let (handle, url) = (sandbox.handle(), sandbox.stripe_url());
        let chargebee_url = sandbox.chargebee_url();
        let cryptolens_url = sandbox.cryptolens_url();
        let planship_url = sandbox.planship_url();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { sandbox.run(std::future::pending()).await.unwrap() });
        Self { handle, url, chargebee_url, cryptolens_url, planship_url, _tasks: tasks }
    }

    /// Has its clock show this time, which is later.
    pub(crate) fn go_to(&self, time: &str) {
        let at = Timestamp::parse_rfc3339(time).expect("a time");
        self.handle.advance_to(at).expect("time goes forward");
    }

    /// What counts there.
    pub(crate) fn books(&self) -> Sums {
        let lines = self.handle.books().into_iter();
        lines
            .map(|line| {
                let total = line.total.normalized().to_plain_string();
                ((line.event_name, line.customer), total)
            })
            .collect()
    }
}

/// What a test may set of its daemon: lines for the tables of the config.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lines<'a> {
    pub(crate) ledger: &'a str,
    pub(crate) intake: &'a str,
    pub(crate) stripe: &'a str,
    pub(crate) route: &'a str,
    pub(crate) filter: &'a str,
    /// Whole tables, behind all others.
    pub(crate) more: &'a str,
}

/// A daemon's folder: its config, its ledger, and what it wrote to its standard error in all runs.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    pub(crate) ledger: PathBuf,
    client: Client,
}

impl Home {
    pub(crate) fn new(api: &str) -> Self {
        Self::with(api, Lines::default())
    }

    pub(crate) fn with(api: &str, lines: Lines<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("tallyd.ledger");
        Self::at(folder, ledger, api, lines)
    }

    /// A home whose ledger lies elsewhere.
    pub(crate) fn at(
        folder: tempfile::TempDir,
        ledger: PathBuf,
        api: &str,
        lines: Lines<'_>,
    ) -> Self {
        let home = Self { folder, ledger, client: client() };
        home.configure(api, lines);
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self) -> PathBuf {
        self.path().join("tallyd.toml")
    }

    fn errors(&self) -> PathBuf {
        self.path().join("stderr")
    }

    fn socket(&self) -> PathBuf {
        self.path().join("operator.sock")
    }

    /// Writes the config anew; a start goes by it.
    pub(crate) fn configure(&self, api: &str, lines: Lines<'_>) {
        self.configure_at(&self.config(), api, lines);
    }

    fn configure_at(&self, file: &Path, api: &str, lines: Lines<'_>) {
        let Lines { ledger, intake, stripe, route, filter, more } = lines;
        let routes: String = METERS
            .iter()
            .map(|meter| {
                format!(
                    "[route.{meter}]\nmeter = \"{meter}\"\nto = \"stripe.main\"\n\
                     settle = \"1s\"\n{route}\n"
                )
            })
            .collect();
        let filter = if filter.is_empty() { "info" } else { filter };
        let text = format!(
            "[ledger]\npath = {path:?}\n{ledger}\n\
             [http]\nlisten = \"127.0.0.1:0\"\noperator_socket = \"operator.sock\"\n\
             [[http.token]]\nsecret = {{ env = \"TEST_TOKEN\" }}\nsources = [\"web\"]\n\
             [intake]\n{intake}\n\
             [stripe.main]\nkey = {{ env = \"TEST_KEY\" }}\napi = \"{api}\"\n\
             rate_per_second = 1000\nbackoff_first_millis = 20\nbackoff_seconds_max = 1\n\
             pause_probe_seconds = 1\n{stripe}\n{routes}\n[log]\nfilter = \"{filter}\"\n{more}\n",
            path = self.ledger,
        );
        std::fs::write(file, text).unwrap();
    }

    /// The same, so that whoever reads it meanwhile has the whole of one or of the other.
    pub(crate) fn configure_whole(&self, api: &str, lines: Lines<'_>) {
        let (config, aside) = (self.config(), self.path().join("tallyd.toml.next"));
        self.configure_at(&aside, api, lines);
        std::fs::rename(aside, config).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyd"));
        command.env_clear().env("TEST_KEY", KEY).env("TEST_TOKEN", TOKEN);
        command.current_dir(self.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs `tallyd` with these arguments to its end, which it must come to by itself.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let run = self.command().args(arguments).output();
        timeout(Duration::from_secs(DEADLINE_SECONDS), run).await.unwrap().unwrap()
    }

    /// Starts the daemon and waits until it listens.
    pub(crate) async fn start(&self) -> TestDaemon {
        self.start_by(&[]).await
    }

    /// The same, with more in its environment.
    pub(crate) async fn start_in(&self, environment: &[(&str, &str)]) -> TestDaemon {
        let mut command = self.command();
        command.envs(environment.iter().copied());
        self.launch(command).await
    }

    /// The same, by way of another program that runs it in its place.
    pub(crate) async fn start_by(&self, wrapper: &[&str]) -> TestDaemon {
        let program = env!("CARGO_BIN_EXE_tallyd");
        let command = match wrapper.split_first() {
            None => self.command(),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program).kill_on_drop(true);
                command.env("TEST_KEY", KEY).env("TEST_TOKEN", TOKEN).current_dir(self.path());
                command.stdin(Stdio::null());
                command
            }
        };
        self.launch(command).await
    }

    /// Starts the daemon and does not wait for it.
    pub(crate) fn spawn(&self) -> Child {
        self.spawned(self.command())
    }

    fn spawned(&self, mut command: Command) -> Child {
        let errors = std::fs::File::options().create(true).append(true).open(self.errors());
        command.args(["run", "--config", "tallyd.toml"]);
        command.stdout(Stdio::piped()).stderr(errors.unwrap()).spawn().unwrap()
    }

    async fn launch(&self, command: Command) -> TestDaemon {
        let mut process = self.spawned(command);
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        let said = output.read_line(&mut line);
        timeout(Duration::from_secs(DEADLINE_SECONDS), said).await.unwrap().unwrap();
        let url = line.trim().strip_prefix("listening at ").map(str::to_owned);
        let url = url.unwrap_or_else(|| panic!("it said {line:?}\n{}", self.said()));
        let operator = Client::builder().no_proxy().unix_socket(self.socket()).build().unwrap();
        TestDaemon { process, output, url, client: self.client.clone(), operator }
    }

    /// Everything that its daemons wrote to their standard error.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.errors()).unwrap_or_default()
    }

    /// Waits until a daemon has written `text` to its standard error.
    pub(crate) async fn says(&self, text: &str) {
        until(&format!("saying {text:?}"), async || {
            let said = self.said();
            if said.contains(text) { Ok(()) } else { Err(said) }
        })
        .await;
    }

    /// Opens the ledger for reading, beside whoever writes to it, verifies it, and answers how many
    /// events it has in each state.
    pub(crate) async fn verify(&self) -> BTreeMap<String, i64> {
        let ledger = SqliteLedger::open_to_read(&self.ledger).await.unwrap();
        let found = ledger.verify().await.unwrap().findings;
        let status = ledger.status().await.unwrap();
        ledger.close().await;
        assert_eq!(found, Vec::<String>::new(), "{}", self.said());
        status.events.into_iter().map(|(_, state, count)| (state, count)).collect()
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
}

impl Reply {
    async fn of(response: reqwest::Response) -> reqwest::Result<Self> {
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        Ok(Self { status, retry_after, text: response.text().await? })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
}

/// A running daemon. Dropping it kills it.
pub(crate) struct TestDaemon {
    process: Child,
    output: BufReader<ChildStdout>,
    pub(crate) url: String,
    client: Client,
    operator: Client,
}

impl TestDaemon {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// Sends usage with a token; an error when the daemon went away meanwhile.
    pub(crate) async fn post_as(&self, token: &str, body: String) -> reqwest::Result<Reply> {
        let request = self.client.post(format!("{}/v1/usage", self.url)).bearer_auth(token);
        Reply::of(request.body(body).send().await?).await
    }

    pub(crate) async fn try_post(&self, body: String) -> reqwest::Result<Reply> {
        self.post_as(TOKEN, body).await
    }

    pub(crate) async fn post(&self, body: impl Into<String>) -> Reply {
        self.try_post(body.into()).await.unwrap()
    }

    /// Sends records that must all be taken.
    pub(crate) async fn accept(&self, records: &[Value]) {
        let reply = self.post(Value::from(records).to_string()).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
    }

    /// Sends a webhook of `stripe.main`.
    pub(crate) async fn announce(&self, signature: String, body: String) -> Reply {
        let request = self.client.post(format!("{}/webhooks/stripe.main", self.url));
        let request = request.header("stripe-signature", signature).body(body);
        Reply::of(request.send().await.unwrap()).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        let response = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        Reply::of(response).await.unwrap()
    }

    /// Asks with a token.
    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Reply {
        let request = self.client.get(format!("{}{path}", self.url)).bearer_auth(token);
        Reply::of(request.send().await.unwrap()).await.unwrap()
    }

    /// Corrects a record.
    pub(crate) async fn correct(&self, source: &str, id: &str, how: &str, body: &Value) -> Reply {
        let request = self.client.post(format!("{}/v1/usage/{source}/{id}/{how}", self.url));
        let request = request.bearer_auth(TOKEN).body(body.to_string());
        Reply::of(request.send().await.unwrap()).await.unwrap()
    }

    /// What `status` shows, from the operator's socket.
    pub(crate) async fn status(&self) -> Value {
        let response = self.operator.get("http://tallyd/v1/status").send().await.unwrap();
        Reply::of(response).await.unwrap().json()
    }

    /// Waits for a level of the status.
    pub(crate) async fn level(&self, what: &str, is_reached: impl Fn(&Value) -> bool) -> Value {
        until(what, async || {
            let status = self.status().await;
            if is_reached(&status) { Ok(status) } else { Err(status.to_string()) }
        })
        .await
    }

    /// Waits until `records` are booked and nothing waits to be told.
    pub(crate) async fn all_told(&self, records: usize) {
        self.level("telling all", |status| {
            let events = status["events"].as_array().unwrap();
            status["records"] == records
                && status["accrued_to"] == status["records"]
                && status["balances_open"] == 0
                && status["parked"] == json!([])
                && events.iter().all(|event| event["state"] == "accepted")
        })
        .await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let ended = timeout(Duration::from_secs(DEADLINE_SECONDS), self.process.wait()).await;
        ended.expect("it ends in time").unwrap()
    }

    /// Ends it as a crash of the host's power would, but for what the disk holds.
    pub(crate) async fn kill(mut self) {
        self.kill_in_place().await;
    }

    /// The same, where another takes its place.
    pub(crate) async fn kill_in_place(&mut self) {
        self.signal(Signal::KILL);
        let ended = timeout(Duration::from_secs(DEADLINE_SECONDS), self.process.wait()).await;
        ended.expect("it ends in time").unwrap();
    }

    /// Asks it to stop, which it must do well; what it wrote to its standard output after its first
    /// line.
    pub(crate) async fn stop_and_read(mut self) -> String {
        self.signal(Signal::TERM);
        let mut rest = String::new();
        let read = self.output.read_to_string(&mut rest);
        timeout(Duration::from_secs(DEADLINE_SECONDS), read).await.unwrap().unwrap();
        assert_eq!(self.ended().await.code(), Some(0));
        rest
    }

    /// Asks it to stop, and it must do so well.
    pub(crate) async fn stop(self) {
        self.signal(Signal::TERM);
        assert_eq!(self.ended().await.code(), Some(0));
    }
}

/// A record of the source `web`, `seconds` ago, at a whole second: so that every record of a kind
/// is as long as the next.
pub(crate) fn usage(id: &str, customer: &str, meter: &str, quantity: &str, seconds: i64) -> Value {
    let at = now().floor_to(MICROS_PER_SECOND).plus_seconds(-seconds);
    json!({"id": id, "customer": customer, "meter": meter, "quantity": quantity,
           "time": at.to_rfc3339()})
}
