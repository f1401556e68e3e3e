//! Time as a sandbox has it. Here: asking a sandbox what its clock shows, once at the start and
//! ever after. Never here: whether that is allowed (`crate::config`), what depends on the time.
//! Read next: [`crate::clock`].
//!
//! Between a move of the sandbox's clock and the next question this program lives by the old time.
//! What is in flight meanwhile is dated by both: whoever moves the clock does so while nothing is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Response};
use serde::Deserialize;

use crate::clock::{Clock, FollowingClock, SystemClock};
use crate::config::Config;
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::service::{Service, Step, StepError};

/// Time between two questions, in microseconds. Twenty a second on this host are little, and
/// webhooks that a moved clock makes due, which a sandbox looks for every tenth of a second, mostly
/// find this one moved as well. One that does not is refused as dated ahead, and comes again.
const ASK_MICROS: i64 = 50_000;
/// How long an answer may take, in seconds: one on this host takes a thousandth.
const ANSWER_SECONDS_MAX: u64 = 5;
/// Longest answer, in bytes: it has some eighty.
const ANSWER_BYTES_MAX: usize = 4_096;
/// Where a sandbox tells what its clock shows.
const PATH: &str = "/_sandbox/clock";

/// Why it is not known what a sandbox's clock shows.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// No client could be made.
    #[error("no request can be made")]
    Client(#[source] reqwest::Error),
    /// The sandbox did not answer.
    #[error("the sandbox whose clock is followed (`clock.follow`) does not answer at {address}")]
    Silent {
        /// Its address.
        address: String,
        /// Why.
        #[source]
        why: reqwest::Error,
    },
    /// Whoever is there is no sandbox.
    #[error("what answers at {address} (`clock.follow`) tells no time: {why}")]
    NoSandbox {
        /// The address.
        address: String,
        /// What is wrong with the answer.
        why: String,
    },
}

/// Whose time it is.
#[derive(Debug)]
pub struct Time {
    /// The clock that everything goes by.
    pub clock: Arc<dyn Clock>,
    /// Keeps it in step, where it follows another.
    pub(super) follower: Option<Follower>,
}

impl Time {
    /// The machine's time, or the sandbox's where the config says so, asked for just now.
    ///
    /// # Errors
    /// When the sandbox does not tell it.
    pub async fn of(config: &Config) -> Result<Self, FollowError> {
        let Some(address) = &config.follow else {
            return Ok(Self { clock: Arc::new(SystemClock), follower: None });
        };
        let follower = Follower::new(address)?;
        follower.ask().await?;
        Ok(Self { clock: follower.clock.clone(), follower: Some(follower) })
    }
}

/// The service that keeps a clock in step with a sandbox's. After a move it has every other service
/// look at the time.
#[derive(Debug)]
pub(super) struct Follower {
    client: Client,
    address: String,
    clock: Arc<FollowingClock>,
    /// Whether the last question had no answer.
    is_lost: AtomicBool,
}

#[derive(Deserialize)]
struct Shown {
    now_micros: i64,
}

impl Follower {
    fn new(address: &str) -> Result<Self, FollowError> {
        // The client wants a cryptography provider even where nothing is encrypted. Another part of
        // the process may have been first, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder()
            .no_proxy()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(ANSWER_SECONDS_MAX))
            .build()
            .map_err(FollowError::Client)?;
        let clock = Arc::new(FollowingClock::new(Arc::new(SystemClock)));
        Ok(Self { client, address: address.to_owned(), clock, is_lost: AtomicBool::new(false) })
    }

    /// Asks what the sandbox's clock shows, and answers by how many microseconds ours was moved.
    async fn ask(&self) -> Result<i64, FollowError> {
        let asked_at = self.clock.base_now();
        let answer = self.client.get(format!("{}{PATH}", self.address)).send().await;
        let answer = answer.and_then(Response::error_for_status);
        let text = self.receive(answer.map_err(|why| self.silent(why))?).await?;
        let answered_at = self.clock.base_now();
        let shown: Shown =
            serde_json::from_slice(&text).map_err(|why| self.no_sandbox(why.to_string()))?;
        Ok(self.clock.learn(Timestamp::from_micros(shown.now_micros), asked_at, answered_at))
    }

    async fn receive(&self, mut answer: Response) -> Result<Vec<u8>, FollowError> {
        let mut whole = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|why| self.silent(why))? {
            if whole.len() + chunk.len() > ANSWER_BYTES_MAX {
                let why = format!("its answer is longer than {ANSWER_BYTES_MAX} bytes");
                return Err(self.no_sandbox(why));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }

    fn silent(&self, why: reqwest::Error) -> FollowError {
        FollowError::Silent { address: self.address.clone(), why: why.without_url() }
    }

    fn no_sandbox(&self, why: String) -> FollowError {
        FollowError::NoSandbox { address: self.address.clone(), why }
    }
}

#[async_trait]
impl Service for Follower {
    fn name(&self) -> &str {
        "following the sandbox's clock"
    }

    async fn run_once(&self, _now: Timestamp) -> Result<Step, StepError> {
        let asked = self.ask().await;
        let was_lost = self.is_lost.swap(asked.is_err(), Ordering::SeqCst);
        let moved = match asked {
            Ok(moved) => moved,
            // Time goes on from what was learned last. It is said once.
            Err(why) if !was_lost => {
                let error = format!("{:#}", anyhow::Error::new(why));
                tracing::warn!(error, "the sandbox's clock cannot be read; time goes on without");
                0
            }
            Err(_) => 0,
        };
        let now = self.clock.now();
        if moved != 0 {
            let seconds = moved.div_euclid(MICROS_PER_SECOND);
            tracing::info!(%now, seconds, "time was moved with the sandbox's clock");
        }
        Ok(Step {
            counts: vec![("moved", u64::from(moved != 0))],
            more: false,
            wake_at: Some(now.plus_micros(ASK_MICROS)),
        })
    }
}
