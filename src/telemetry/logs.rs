//! Logs. Here: how events become lines. Never here: what is worth a line. Read next:
//! [`super::metrics`].

use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use super::{LogFormat, Settings};

/// Why logs cannot be written as they were set.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter makes no sense.
    #[error("the log filter \"{filter}\" is not a level, nor targets with levels")]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        #[source]
        why: tracing_subscriber::filter::ParseError,
    },
    /// The filter of logs that nobody takes any more was to be another.
    #[error("nothing is logged any more")]
    Gone(#[source] reload::Error),
    /// Logs were set up before.
    #[error("logs are set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Reads a filter: `info`, `info,tallyd::delivery=debug`.
///
/// # Errors
/// When it is none.
pub fn filter(filter: &str) -> Result<Targets, LogError> {
    filter.parse().map_err(|why| LogError::Filter { filter: filter.to_owned(), why })
}

/// What is logged, for whoever changes that while the process runs.
#[derive(Clone, Debug)]
pub struct LogFilter(reload::Handle<Targets, Registry>);

impl LogFilter {
    /// Has the process log by this filter from here on.
    ///
    /// # Errors
    /// When it makes no sense; then the one before stays.
    pub fn set(&self, text: &str) -> Result<(), LogError> {
        self.0.reload(filter(text)?).map_err(LogError::Gone)
    }
}

/// What takes the process's events from here on, and writes them to `writer`. `colour` is for
/// terminals: elsewhere its codes would only be noise.
///
/// # Errors
/// When the filter makes no sense, or this is the second call.
pub fn init<W>(settings: &Settings, writer: W, colour: bool) -> Result<LogFilter, LogError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let (filter, changing) = reload::Layer::new(filter(&settings.filter)?);
    match settings.format {
        LogFormat::Text => text(filter, writer, colour).try_init().map_err(LogError::Twice)?,
        LogFormat::Json => json(filter, writer).try_init().map_err(LogError::Twice)?,
    }
    Ok(LogFilter(changing))
}

/// A filter that can be replaced.
type Filter = reload::Layer<Targets, Registry>;

fn text<W>(filter: Filter, writer: W, colour: bool) -> impl Subscriber
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colour);
    Registry::default().with(lines.with_filter(filter))
}

fn json<W>(filter: Filter, writer: W) -> impl Subscriber
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer);
    Registry::default().with(lines.with_filter(filter))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_json_is_one_object_whatever_a_field_holds() {
        let page = Page::default();
        let writer = page.clone();
        let (filter, changing) = reload::Layer::new(filter("info").unwrap());
        let changing = LogFilter(changing);
        tracing::subscriber::with_default(json(filter, move || writer.clone()), || {
            tracing::info!(source = "a\n\"b\"", "booked");
            tracing::debug!("not wanted");
            changing.set("warn").unwrap();
            tracing::info!("not wanted any more");
            assert!(changing.set("tallyd=loud").is_err());
        });
        let written = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines.len(), 1, "{written}");
        let line: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!((&line["message"], &line["source"]), (&"booked".into(), &"a\n\"b\"".into()));
    }

    #[test]
    fn a_filter_names_targets_or_is_refused() {
        assert!(filter("info,tallyd::delivery=debug").is_ok());
        let refused = filter("tallyd=loud").unwrap_err().to_string();
        assert_eq!(
            refused,
            "the log filter \"tallyd=loud\" is not a level, nor targets with levels"
        );
    }
}
