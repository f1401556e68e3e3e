//! The daemon, asked. Here: requests to the operator's socket, and waiting as it asks to. Never
//! here: what is asked for. Read next: [`super::import`].

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;

use crate::config::Config;

/// Longest total wait for one request, in seconds, while the daemon asks to wait: a full disk or a
/// restart is noticed and mended by then, or needs a person.
const PATIENCE_SECONDS: u64 = 120;
/// Longest single wait, in seconds, whatever the daemon asks for.
const WAIT_SECONDS_MAX: u64 = 30;
/// What a request may take, in milliseconds, beyond the daemon's own limits on it.
const MARGIN_MILLIS: u64 = 10_000;
/// Longest answer, in bytes: one line for each of a million records, which is the most a request
/// may carry.
const ANSWER_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Why the daemon did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The client could not be made.
    #[error("no request can be made")]
    Client(#[source] reqwest::Error),
    /// Somebody uses the ledger, and nobody answers.
    #[error("the ledger is in use by {who}, and nobody answers at {}", path.display())]
    Silent {
        /// Who holds the ledger.
        who: String,
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        why: reqwest::Error,
    },
    /// The daemon is there and cannot do it now.
    #[error("the daemon could not do it within {PATIENCE_SECONDS} s: {0}")]
    Later(String),
    /// The daemon will not do it.
    #[error("the daemon answered {status}: {said}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What it said.
        said: String,
    },
    /// The answer is not what the daemon of this version says.
    #[error("the daemon's answer cannot be understood: {0}")]
    Unreadable(String),
}

#[derive(Deserialize)]
struct Refusal {
    error: Said,
}

#[derive(Deserialize)]
struct Said {
    message: String,
}

/// The way to a daemon.
pub(crate) struct Socket {
    client: Client,
    path: PathBuf,
    who: String,
}

impl Socket {
    /// The way to the daemon that holds the ledger and wrote `who` of itself.
    ///
    /// # Errors
    /// When no client can be made.
    pub(crate) fn new(config: &Config, who: String) -> Result<Self, AskError> {
        let path = config.web.operator_socket.clone();
        // The request may take its limit, and taking the answer as long again.
        let millis = u64::from(config.web.request_millis_max) * 2 + MARGIN_MILLIS;
        let client = super::http_client()
            .unix_socket(path.as_path())
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_millis(millis))
            .build()
            .map_err(AskError::Client)?;
        Ok(Self { client, path, who })
    }

    /// Posts `body` to `path` with one parameter, again and again while the daemon asks to wait.
    /// What comes back is an answer of 200 or 422.
    ///
    /// # Errors
    /// When the daemon is not there, will not do it, or asks to wait for too long.
    pub(crate) async fn post<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        (name, value): (&str, &str),
        content_type: &'static str,
        body: String,
    ) -> Result<T, AskError> {
        let query =
            form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        let url = format!("http://tallyd{path}?{query}");
        let body = bytes::Bytes::from(body);
        let mut waited = 0;
        loop {
            let request = self.client.post(&url).header(CONTENT_TYPE, content_type);
            let answer = request.body(body.clone()).send().await.map_err(|why| self.silent(why))?;
            let status = answer.status();
            let wait = wait_seconds(&answer);
            let text = self.receive(answer).await?;
            match status {
                StatusCode::OK | StatusCode::UNPROCESSABLE_ENTITY => {
                    return serde_json::from_slice(&text)
                        .map_err(|why| AskError::Unreadable(why.to_string()));
                }
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    if waited + wait > PATIENCE_SECONDS {
                        return Err(AskError::Later(said(&text)));
                    }
                    waited += wait;
                    tokio::time::sleep(Duration::from_secs(wait)).await;
                }
                status => return Err(AskError::Refused { status, said: said(&text) }),
            }
        }
    }

    async fn receive(&self, mut answer: Response) -> Result<Vec<u8>, AskError> {
        let mut whole = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|why| self.silent(why))? {
            if whole.len() + chunk.len() > ANSWER_BYTES_MAX {
                let why = format!("it is longer than {ANSWER_BYTES_MAX} bytes");
                return Err(AskError::Unreadable(why));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }

    fn silent(&self, why: reqwest::Error) -> AskError {
        AskError::Silent { who: self.who.clone(), path: self.path.clone(), why: why.without_url() }
    }
}

fn wait_seconds(answer: &Response) -> u64 {
    let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let asked = asked.and_then(|text| text.parse::<u64>().ok()).unwrap_or(1);
    asked.clamp(1, WAIT_SECONDS_MAX)
}

fn said(text: &[u8]) -> String {
    match serde_json::from_slice::<Refusal>(text) {
        Ok(refusal) => refusal.error.message,
        Err(_) => "it did not say why".to_owned(),
    }
}
