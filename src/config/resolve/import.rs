//! `[import.NAME]`. PURE. Here: how a file's columns become records. Never here: the file. Read
//! next: `route`.

use std::collections::BTreeSet;

use toml::Spanned;

use crate::config::field::{Table, decimal, name, required, word};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::domain::names::{MeterName, SourceName};
use crate::intake::import::{Format, Mapping, QuantityRule, RecordRule, WhenEmpty};

/// What stands between two columns when the operator set nothing.
const DELIMITER: u8 = b',';
const WHEN_EMPTY: [(&str, WhenEmpty); 3] =
    [("skip", WhenEmpty::Skip), ("zero", WhenEmpty::Zero), ("reject", WhenEmpty::Reject)];

pub(super) fn mappings(imports: &raw::Named<raw::Import>, found: &mut Findings) -> Vec<Mapping> {
    let mut all = Vec::new();
    for (key, import) in imports {
        let table = Table { path: format!("import.{}", key.get_ref()), span: key.span() };
        name("the import's name", key.get_ref(), key.span(), SourceName::new, found);
        let columns = |field: &raw::Key<Vec<Spanned<String>>>| {
            field.iter().flat_map(Spanned::get_ref).map(|each| each.get_ref().clone()).collect()
        };
        all.push(Mapping {
            name: key.get_ref().clone(),
            format: format(&table, import, found),
            id: column(&table, "id", &import.id, found),
            time: column(&table, "time", &import.time, found),
            customer: column(&table, "customer", &import.customer, found),
            properties: columns(&import.properties),
            records: records(&table, import, found),
        });
    }
    all
}

fn format(table: &Table, import: &raw::Import, found: &mut Findings) -> Format {
    let csv = Format::Csv { delimiter: DELIMITER };
    let words = [("csv", csv), ("ndjson", Format::Ndjson)];
    let format = word(&table.key("format"), &import.format, &words, csv, found);
    let Some(field) = &import.delimiter else { return format };
    let path = table.key("delimiter");
    if format == Format::Ndjson {
        let title = format!("`{path}` is set, and ndjson has no columns");
        let label = "it would have no effect";
        let help = "remove it, or set `format = \"csv\"`";
        found.error(Problem::at(field.span(), title).label(label).help(help));
        return format;
    }
    // A quote or a line's end has a meaning of its own in CSV, and a letter would cut the values.
    match field.get_ref().as_bytes() {
        [byte @ (b'\t' | b' '..=b'~')] if *byte != b'"' && !byte.is_ascii_alphanumeric() => {
            Format::Csv { delimiter: *byte }
        }
        _ => {
            let title = format!("`{path}` is {:?}, and no single mark", field.get_ref());
            let label = "columns could not be told apart";
            let help = "use one character, such as \",\", \";\" or \"\\t\"";
            found.error(Problem::at(field.span(), title).label(label).help(help));
            format
        }
    }
}

/// The column that `field` names; without it, the column is called like the key.
fn column(table: &Table, key: &str, field: &raw::Key<String>, found: &mut Findings) -> String {
    let Some(field) = field else { return key.to_owned() };
    if field.get_ref().is_empty() {
        let title = format!("`{}` is empty", table.key(key));
        let label = "no column is called so";
        let help = format!("name the column; without this line it is {key:?}");
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    field.get_ref().clone()
}

fn records(table: &Table, import: &raw::Import, found: &mut Findings) -> Vec<RecordRule> {
    if import.record.is_empty() && !found.unread.contains(&table.key("record")) {
        let title = format!("`{}` makes no records", table.path);
        let label = "whole files would be read for nothing";
        let help = format!("add a table [[{}.record]] with `meter` and `column`", table.path);
        found.error(Problem::at(table.span.clone(), title).label(label).help(help));
    }
    let mut suffixes = BTreeSet::new();
    let mut all = Vec::new();
    for (index, rule) in import.record.iter().enumerate() {
        let path = format!("{}.record.{}", table.path, index + 1);
        let inner = Table { path, span: rule.span() };
        let rule = rule.get_ref();
        let suffix = rule.id_suffix.as_ref().map_or("", |field| field.get_ref().as_str());
        if !suffixes.insert(suffix) {
            let span = rule.id_suffix.as_ref().map_or(inner.span.clone(), Spanned::span);
            let title = format!("two records of `{}` end their id with {suffix:?}", table.path);
            let label = "both would have the same id, and the second be a conflict in each row";
            let help = "give each record an `id_suffix` of its own, such as \"-bytes\"";
            found.error(Problem::at(span, title).label(label).help(help));
        }
        all.extend(record(&inner, rule, suffix, found));
    }
    all
}

fn record(
    table: &Table,
    rule: &raw::ImportRecord,
    suffix: &str,
    found: &mut Findings,
) -> Option<RecordRule> {
    let otherwise = "nobody could say what was used";
    let meter = required(table, "meter", &rule.meter, otherwise, "\"requests\"", found);
    let meter = meter.and_then(|field| {
        let what = format!("`{}`", table.key("meter"));
        name(&what, field.get_ref(), field.span(), MeterName::new, found)
    });
    let when_empty_key = table.key("when_empty");
    let when_empty = word(&when_empty_key, &rule.when_empty, &WHEN_EMPTY, WhenEmpty::Reject, found);
    let quantity = quantity(table, rule, found);
    if let (Some(QuantityRule::Constant(_)), Some(field)) = (&quantity, &rule.when_empty) {
        let title = format!("`{when_empty_key}` is set beside a constant quantity");
        let label = "a constant is never empty: this has no effect";
        let help = "remove it, or take the quantity from a `column`";
        found.warning(Problem::at(field.span(), title).label(label).help(help));
    }
    Some(RecordRule { meter: meter?, quantity: quantity?, id_suffix: suffix.into(), when_empty })
}

fn quantity(table: &Table, rule: &raw::ImportRecord, found: &mut Findings) -> Option<QuantityRule> {
    let path = table.key("quantity");
    match (&rule.quantity, &rule.column) {
        (None, Some(_)) => Some(QuantityRule::Column(column(table, "column", &rule.column, found))),
        (Some(field), None) => {
            let quantity = decimal(&path, field, found)?;
            if quantity.is_negative() {
                let title = format!("`{path}` is {quantity}, below zero");
                let label = "every row would be rejected: usage is never negative";
                let help = "write zero or more; a correction names the record it corrects";
                found.error(Problem::at(field.span(), title).label(label).help(help));
            }
            Some(QuantityRule::Constant(quantity))
        }
        (Some(quantity), Some(_)) => {
            let title = format!("`{}` has both `quantity` and `column`", table.path);
            let label = "it is not clear which one is the amount used";
            let help = "keep `quantity` for a constant, or `column` for what the row says";
            found.error(Problem::at(quantity.span(), title).label(label).help(help));
            None
        }
        (None, None) => {
            let unread = [&path, &table.key("column")];
            if !unread.into_iter().any(|key| found.unread.contains(key)) {
                let title = format!("`{}` has neither `quantity` nor `column`", table.path);
                let label = "nobody could say how much was used";
                let help = "add `column = \"bytes\"`, or `quantity = \"1\"` to count rows";
                found.error(Problem::at(table.span.clone(), title).label(label).help(help));
            }
            None
        }
    }
}
