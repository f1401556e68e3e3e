//! Stand-in providers.
