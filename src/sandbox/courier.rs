//! The courier of webhooks. Here: posting what is due to endpoints over HTTP. Never here: what is
//! due, a signature, when to try again; those are the stand-in's. Read next:
//! [`crate::sandbox::deliveries`].

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use tokio::sync::watch;
use tracing::debug;

use super::deliveries::{Carrier, WebhookDelivery};
use super::handle::Shared;
use crate::clock::Clock;

/// How often the courier looks for what is due. Short against anything a person waits for, and
/// cheap while nothing is.
const ROUND: Duration = Duration::from_millis(100);

/// How long an endpoint may take to answer. Stripe publishes no figure, and Chargebee's is said to
/// be longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Carries deliveries until the server stops: one at a time, so that their order is that of the
/// queue.
pub(super) async fn run(shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    tokio::select! {
        () = carry(&shared) => {}
        _ = async { stopping.wait_for(|stop| *stop).await.is_ok() } => {}
    }
}

async fn carry(shared: &Shared) {
    let mut client = None;
    loop {
        let now = shared.clock.now();
        let due = shared.stripe().take_deliveries(Carrier::Socket, now);
        for delivery in due {
            let number = delivery.number;
            let status = deliver(&mut client, delivery).await;
            let now = shared.clock.now();
            shared.stripe().settle_delivery(number, status, now);
        }
        let now = shared.clock.now();
        let due = shared.chargebee().take_deliveries(Carrier::Socket, now);
        for delivery in due {
            let number = delivery.number;
            let status = deliver(&mut client, delivery).await;
            let now = shared.clock.now();
            shared.chargebee().settle_delivery(number, status, now);
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// The status that an endpoint answered, with a client that is made when the first is needed.
async fn deliver(
    client: &mut Option<reqwest::Result<Client>>,
    delivery: WebhookDelivery,
) -> Option<u16> {
    match client.get_or_insert_with(client_of_webhooks) {
        Ok(client) => post(client, delivery).await,
        Err(error) => {
            debug!(%error, "webhooks cannot be posted");
            None
        }
    }
}

/// A client that goes straight to the endpoint and follows no redirect, as providers' do not.
fn client_of_webhooks() -> reqwest::Result<Client> {
    // The client wants a cryptography provider even where nothing is encrypted. Another part of the
    // process may have been first, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder().no_proxy().redirect(Policy::none()).timeout(ANSWER_TIMEOUT).build()
}

/// The status that the endpoint answered; none if it did not.
async fn post(client: &Client, delivery: WebhookDelivery) -> Option<u16> {
    let mut request = client.post(&delivery.url).body(delivery.body);
    for (name, value) in delivery.headers {
        request = request.header(name, value);
    }
    match request.send().await {
        Ok(answer) => Some(answer.status().as_u16()),
        Err(error) => {
            debug!(%error, "a webhook did not reach its endpoint");
            None
        }
    }
}
