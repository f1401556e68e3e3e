//! What the daemon says of itself. Here: logs and metrics. Never here: a secret, a payload. Read
//! next: [`metrics`].

pub mod metrics;
pub mod logs;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The share of the newest events, in basis points, above which held ones raise the alarm: half a
/// percent. A sound set-up holds next to nothing, and at more than this a fault may be hidden by
/// its holds.
pub const HELD_ALARM_BASIS_POINTS: u32 = 50;

/// What is logged when the operator set nothing.
pub const FILTER: &str = "info";

/// What the operator set for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The format.
    pub format: LogFormat,
    /// The level, or targets with levels: `info`, `info,tallyd::delivery=debug`.
    pub filter: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: FILTER.to_owned() }
    }
}
