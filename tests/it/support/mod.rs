//! What several tests need. Here: the checked wire schemas, a running sandbox, servers that
//! misbehave on purpose, the real binary. Never here: an expectation of its own. Read next:
//! [`openapi`].

pub(crate) mod billing;
pub(crate) mod chargebee;
pub(crate) mod daemon;
pub(crate) mod journey;
pub(crate) mod openapi;
pub(crate) mod raw_server;
pub(crate) mod referee;
pub(crate) mod relay;
pub(crate) mod service_host;
pub(crate) mod stand_in;
pub(crate) mod stripe;
pub(crate) mod webhooks;
