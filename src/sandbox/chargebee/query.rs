//! Lists. Here: filters, order and pages, as every list of Chargebee's has them. Never here: what
//! is listed. Read next: [`super::operation`].

use super::form::{Params, list, time};
use super::refusal::Refusal;

/// Rows on a page unless the request says otherwise.
const PAGE_ROWS_DEFAULT: i64 = 10;
/// Rows on a page at most.
const PAGE_ROWS_MAX: i64 = 100;
/// The longest offset, in characters: Chargebee's own limit.
const OFFSET_LENGTH_MAX: usize = 1_000;
/// The longest text in a filter, in characters. Chargebee publishes no figure.
const TEXT_LENGTH_MAX: usize = 10_000;

/// The operators of a text that is one of many.
const IS: &[&str] = &["is", "is_not", "starts_with"];
/// Those of a text that may be asked for by a list as well.
const IS_OR_IN: &[&str] = &["is", "is_not", "starts_with", "in", "not_in"];
/// Those of a text that may be absent.
const IS_OR_ABSENT: &[&str] = &["is", "is_not", "starts_with", "is_present"];

/// What a list can be filtered by.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    /// A text, by [`IS`].
    Text,
    /// A text, by [`IS_OR_IN`].
    Texts,
    /// A text, by [`IS_OR_ABSENT`].
    TextOrNone,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A time in Unix seconds.
    Time,
}

/// What can be asked of one list.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) filters: &'static [(&'static str, By)],
    pub(super) sorts: &'static [&'static str],
    /// Whether `include_deleted` is known.
    pub(super) shows_deleted: bool,
}

/// A value of a row that can be filtered by.
#[derive(Debug)]
pub(super) enum Field<'a> {
    Text(&'a str),
    Texts(Vec<&'a str>),
    Time(i64),
    Absent,
}

/// Something that can be listed.
pub(super) trait Listed {
    /// Its value of this name. Names are those of the list's [`Shape`].
    fn field<'a>(&'a self, name: &str) -> Field<'a>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Is(String),
    IsNot(String),
    StartsWith(String),
    In(Vec<String>),
    NotIn(Vec<String>),
    Present(bool),
    After(i64),
    Before(i64),
    /// The very second: whether Chargebee means the day is unconfirmed, and this finds less.
    On(i64),
    /// From the one to the other, both included.
    Between(i64, i64),
}

impl Test {
    fn passes(&self, field: &Field<'_>) -> bool {
        let any = |fits: &dyn Fn(&str) -> bool| match field {
            Field::Text(text) => fits(text),
            Field::Texts(texts) => texts.iter().any(|text| fits(text)),
            Field::Time(_) | Field::Absent => false,
        };
        // What has no time is in no span of time, so that a filter hides it.
        let at = |fits: &dyn Fn(i64) -> bool| match field {
            Field::Time(at) => fits(*at),
            Field::Text(_) | Field::Texts(_) | Field::Absent => false,
        };
        match self {
            Self::Is(wanted) => any(&|text| text == wanted),
            Self::IsNot(unwanted) => !any(&|text| text == unwanted),
            Self::StartsWith(start) => any(&|text| text.starts_with(start.as_str())),
            Self::In(wanted) => any(&|text| wanted.iter().any(|it| it == text)),
            Self::NotIn(unwanted) => !any(&|text| unwanted.iter().any(|it| it == text)),
            Self::Present(wanted) => !matches!(field, Field::Absent) == *wanted,
            Self::After(bound) => at(&|at| at > *bound),
            Self::Before(bound) => at(&|at| at < *bound),
            Self::On(wanted) => at(&|at| at == *wanted),
            Self::Between(from, until) => at(&|at| (*from..=*until).contains(&at)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sort {
    field: &'static str,
    descends: bool,
}

/// Where a page begins: after the row of this key and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Offset {
    key: i64,
    place: u64,
}

impl Offset {
    /// `["key","place"]`, which is how Chargebee's look. No client may read it.
    fn text(self) -> String {
        format!("[\"{}\",\"{}\"]", self.key, self.place)
    }

    fn parse(text: &str) -> Option<Self> {
        let [key, place] = <[String; 2]>::try_from(list(text)?).ok()?;
        Some(Self { key: key.parse().ok()?, place: place.parse().ok()? })
    }
}

/// A request for one page of a list.
#[derive(Clone, Debug)]
pub(super) struct Query {
    tests: Vec<(&'static str, Test)>,
    sort: Option<Sort>,
    limit: usize,
    offset: Option<Offset>,
    pub(super) include_deleted: bool,
}

impl Query {
    pub(super) fn read(params: &mut Params, shape: &Shape) -> Result<Self, Refusal> {
        let mut tests = Vec::new();
        for (name, by) in shape.filters {
            for (operator, value) in params.operators(name) {
                tests.push((*name, read_test(name, *by, &operator, &value)?));
            }
        }
        let limit = params.integer("limit")?.unwrap_or(PAGE_ROWS_DEFAULT);
        if !(1..=PAGE_ROWS_MAX).contains(&limit) {
            return Err(Refusal::wrong_value("limit", format!("must be 1 to {PAGE_ROWS_MAX}")));
        }
        let offset = match params.text("offset", OFFSET_LENGTH_MAX)? {
            None => None,
            Some(text) => {
                let wrong = || Refusal::wrong_value("offset", "is none that was given out");
                Some(Offset::parse(&text).ok_or_else(wrong)?)
            }
        };
        let include_deleted =
            if shape.shows_deleted { params.flag("include_deleted")? } else { None };
        Ok(Self {
            tests,
            sort: read_sort(params, shape)?,
            limit: usize::try_from(limit).unwrap_or(1),
            offset,
            include_deleted: include_deleted.unwrap_or(false),
        })
    }

    /// The value that this field must have, where only one will do.
    pub(super) fn only(&self, field: &str) -> Option<&str> {
        self.tests.iter().find_map(|(name, test)| match test {
            Test::Is(wanted) if *name == field => Some(wanted.as_str()),
            Test::Is(_)
            | Test::IsNot(_)
            | Test::StartsWith(_)
            | Test::In(_)
            | Test::NotIn(_)
            | Test::Present(_)
            | Test::After(_)
            | Test::Before(_)
            | Test::On(_)
            | Test::Between(..) => None,
        })
    }

    fn wants(&self, row: &impl Listed) -> bool {
        self.tests.iter().all(|(name, test)| test.passes(&row.field(name)))
    }

    /// One page of `rows`, which come with their places and in their order, and where the next one
    /// begins. A list without an order asked for is in the order of creation.
    pub(super) fn page<T: Listed>(
        &self,
        rows: impl Iterator<Item = (u64, T)>,
    ) -> (Vec<T>, Option<String>) {
        let wanted = rows.filter(|(_, row)| self.wants(row));
        let key = |row: &T| match self.sort.map(|sort| row.field(sort.field)) {
            Some(Field::Time(at)) => at,
            Some(Field::Text(_) | Field::Texts(_)) | None => 0,
            Some(Field::Absent) => i64::MIN,
        };
        let keyed = wanted.map(|(place, row)| (Offset { key: key(&row), place }, row));
        let descends = self.sort.is_some_and(|sort| sort.descends);
        let is_after = |at: Offset| match self.offset {
            Some(offset) if descends => at < offset,
            Some(offset) => at > offset,
            None => true,
        };
        let rest = keyed.filter(|(at, _)| is_after(*at));
        let mut rest: Vec<(Offset, T)> =
            if self.sort.is_some() { rest.collect() } else { rest.take(self.limit + 1).collect() };
        if descends {
            rest.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        } else {
            rest.sort_by_key(|(at, _)| *at);
        }
        let has_more = rest.len() > self.limit;
        rest.truncate(self.limit);
        let last = rest.last().filter(|_| has_more).map(|(at, _)| at.text());
        (rest.into_iter().map(|(_, row)| row).collect(), last)
    }
}

fn read_sort(params: &mut Params, shape: &Shape) -> Result<Option<Sort>, Refusal> {
    let mut sort = None;
    for (order, field) in params.operators("sort_by") {
        let found = shape.sorts.iter().find(|it| **it == field);
        let (Some(field), "asc" | "desc", None) = (found, order.as_str(), sort) else {
            return Err(Refusal::wrong_value("sort_by", "is no order of this list"));
        };
        sort = Some(Sort { field, descends: order == "desc" });
    }
    Ok(sort)
}

fn read_test(name: &str, by: By, operator: &str, value: &str) -> Result<Test, Refusal> {
    let wrong = |what: &str| Refusal::wrong_value(&format!("{name}[{operator}]"), what);
    if value.is_empty() || value.len() > TEXT_LENGTH_MAX {
        return Err(wrong("is empty or too long"));
    }
    let operators = match by {
        By::Text => IS,
        By::Texts => IS_OR_IN,
        By::TextOrNone => IS_OR_ABSENT,
        By::Word(_) => &["is", "is_not", "in", "not_in"],
        By::Time => return read_time(operator, value).ok_or_else(|| wrong("is no time")),
    };
    if !operators.contains(&operator) {
        return Err(wrong("is no filter of this list"));
    }
    let one = || value.to_owned();
    // A bare word stands for a list of one, as some clients write it.
    let many = || list(value).unwrap_or_else(|| vec![value.to_owned()]);
    let test = match operator {
        "is" => Test::Is(one()),
        "is_not" => Test::IsNot(one()),
        "starts_with" => Test::StartsWith(one()),
        "in" => Test::In(many()),
        "not_in" => Test::NotIn(many()),
        "is_present" if value == "true" || value == "false" => Test::Present(value == "true"),
        _ => return Err(wrong("is neither true nor false")),
    };
    if let (By::Word(words), Test::Is(_) | Test::IsNot(_)) = (by, &test)
        && !words.contains(&value)
    {
        return Err(wrong("is none of its values"));
    }
    if let (By::Word(words), Test::In(asked) | Test::NotIn(asked)) = (by, &test)
        && !asked.iter().all(|word| words.contains(&word.as_str()))
    {
        return Err(wrong("holds what is none of its values"));
    }
    Ok(test)
}

fn read_time(operator: &str, value: &str) -> Option<Test> {
    match operator {
        "after" => time(value).map(Test::After),
        "before" => time(value).map(Test::Before),
        "on" => time(value).map(Test::On),
        "between" => {
            let [from, until] = <[String; 2]>::try_from(list(value)?).ok()?;
            Some(Test::Between(time(&from)?, time(&until)?))
        }
        _ => None,
    }
}
