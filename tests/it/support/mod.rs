//! What several tests need. Here: servers that misbehave on purpose. Never here: an expectation of
//! its own. Read next: [`raw_server`].

pub(crate) mod openapi;
pub(crate) mod raw_server;
