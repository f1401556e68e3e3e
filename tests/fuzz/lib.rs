//! A sandbox without a socket's traffic. Here: making one for each input, and asking it. Never
//! here: an expectation. Read next: `targets/sandbox_form.rs`.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tallyd::clock::ManualClock;
use tallyd::domain::time::Timestamp;
use tallyd::sandbox::stripe::{Formula, Limits, NewMeter, Settings};
use tallyd::sandbox::{Sandbox, SandboxHandle, Settings as SandboxSettings};

/// A sandbox that has one meter.
pub struct World {
    /// Reads its books.
    pub handle: SandboxHandle,
    _sandbox: Sandbox,
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
}

impl World {
    /// A fresh one, with nothing in its books.
    #[expect(clippy::new_without_default, reason = "making one binds a socket")]
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_790_000_000)));
        let stripe = Settings {
            limits: Limits::NONE,
            meters: vec![NewMeter::new("calls", Formula::Sum)],
            ..Settings::default()
        };
        let settings = SandboxSettings { stripe, ..SandboxSettings::default() };
        let sandbox = RUNTIME.with(|runtime| runtime.block_on(Sandbox::bind(settings, clock)));
        let sandbox = sandbox.expect("a free port");
        Self { handle: sandbox.handle(), _sandbox: sandbox }
    }

    /// Asks once; nothing when there is no answer at once.
    pub fn ask(&self, reads: bool, path: &str, query: &str, body: &[u8]) -> Option<(u16, Bytes)> {
        let method = if reads { Method::GET } else { Method::POST };
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer sk_test_fuzz"));
        let body = Bytes::copy_from_slice(body);
        self.handle.ask(method, path, query, headers, body).now_or_never().flatten()
    }
}
