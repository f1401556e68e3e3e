//! `tallyd invoice-usages`. Here: of whom the PDF of an invoice's usages is asked, and where it is
//! put. Never here: how a provider makes one (`crate::provider::documents`). Read next:
//! [`super::reconcile`].

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::args::InvoiceUsages;
use super::exit::Exit;
use super::page;
use crate::config::SecretPolicy;
use crate::daemon::providers::{Instance, instances};
use crate::domain::names::{InvoiceId, ProviderName};
use crate::provider::documents::UsageDocuments;

/// What can make the document, and its name.
type Maker = (ProviderName, Arc<dyn UsageDocuments>);

/// Has the document made, and puts it where it was asked for.
///
/// # Errors
/// When there is none, or no place for it.
pub(crate) async fn invoice_usages(asked: &InvoiceUsages) -> anyhow::Result<Exit> {
    let invoice = InvoiceId::new(&asked.invoice).context("INVOICE")?;
    // Before anybody is asked; that it is still so is seen when the file is put there.
    if std::fs::symlink_metadata(&asked.pdf).is_ok() {
        bail!("{} is there already, and is not overwritten", asked.pdf.display());
    }
    let config = super::configure(&asked.configured, None, None, SecretPolicy::Resolve)?;
    let (provider, maker) = chosen(instances(&config)?, asked.provider.as_deref())?;
    let pdf = maker.usage_pdf(&invoice).await;
    let pdf = pdf.with_context(|| format!("the usages of the invoice {invoice} at {provider}"))?;
    put(&asked.pdf, &pdf)?;
    let (file, bytes) = (asked.pdf.display(), pdf.len());
    page::print(|out| {
        writeln!(out, "{file}: the usages of the invoice {invoice} at {provider}, {bytes} bytes")
    })?;
    Ok(Exit::Ok)
}

/// The one provider instance that is meant, of those that make such documents.
fn chosen(all: Vec<Instance>, name: Option<&str>) -> anyhow::Result<Maker> {
    if let Some(name) = name {
        let Some(named) = all.into_iter().find(|each| each.name().as_str() == name) else {
            bail!("--provider \"{name}\" is not configured");
        };
        return maker(named).with_context(|| {
            format!("--provider \"{name}\" makes no document of an invoice's usages")
        });
    }
    let mut makers: Vec<Maker> = all.into_iter().filter_map(maker).collect();
    if makers.len() > 1 {
        let names: Vec<&str> = makers.iter().map(|(name, _)| name.as_str()).collect();
        bail!("more than one provider can be meant: add --provider, one of {}", names.join(", "));
    }
    makers.pop().context("no configured provider makes a document of an invoice's usages")
}

fn maker(instance: Instance) -> Option<Maker> {
    let name = instance.name().clone();
    Some((name, instance.documents?))
}

/// Puts the bytes there, whole or not at all, and over nothing that came there meanwhile.
fn put(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    let cannot = || format!("{} cannot be written", file.display());
    // It is removed again unless it gets its name.
    let mut beside = tempfile::Builder::new()
        .prefix(".tallyd-")
        .suffix(".part")
        .tempfile_in(folder)
        .with_context(cannot)?;
    beside.write_all(bytes).with_context(cannot)?;
    beside.as_file().sync_all().with_context(cannot)?;
    // The error of this would keep the file beside for as long as it is kept itself.
    let persisted = beside.persist_noclobber(file).map_err(|failed| failed.error);
    persisted.with_context(cannot)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_whole_and_over_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pdf");
        put(&file, b"first").unwrap();
        let error = put(&file, b"second").unwrap_err();
        assert!(error.to_string().ends_with("a.pdf cannot be written"), "{error:#}");
        assert_eq!(std::fs::read(&file).unwrap(), b"first");
        let names = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 1, "nothing is left beside it");
    }
}
