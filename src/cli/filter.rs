//! Records that flags find. Here: the flags as the ledger takes them. Never here: reading the
//! records. Read next: [`super::correct`].

use anyhow::{Context, bail};

use super::args::correct::Filter;
use crate::domain::names::{CustomerName, MeterName, NameError, SourceName};
use crate::domain::time::Timestamp;
use crate::intake::admit::Written;
use crate::intake::instant;
use crate::ledger::corrections::RecordFilter;

/// What the flags let through.
///
/// # Errors
/// When one is no name, or no time.
pub(crate) fn read(asked: &Filter) -> anyhow::Result<RecordFilter> {
    fn name<T>(
        flag: &str,
        text: Option<&String>,
        new: fn(&str) -> Result<T, NameError>,
    ) -> anyhow::Result<Option<T>> {
        text.map(|text| new(text).with_context(|| format!("{flag} \"{text}\""))).transpose()
    }
    fn time(flag: &str, text: Option<&String>) -> anyhow::Result<Option<Timestamp>> {
        let Some(text) = text else { return Ok(None) };
        match instant::read(&Written::Text(text.as_str().into()), None) {
            Ok(at) => Ok(Some(at)),
            Err(why) => bail!("{flag} {why}"),
        }
    }
    Ok(RecordFilter {
        source: name("--source", asked.source.as_ref(), SourceName::new)?,
        customer: name("--customer", asked.customer.as_ref(), CustomerName::new)?,
        meter: name("--meter", asked.meter.as_ref(), MeterName::new)?,
        from: time("--from", asked.from.as_ref())?,
        until: time("--until", asked.until.as_ref())?,
    })
}
