//! What is wrong with a config, as a person reads it. PURE. Here: a problem, and how a list of them
//! is drawn with file, line and caret. Never here: what counts as wrong (see `resolve`). Read next:
//! `raw`.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::redact::{redact_source, redact_words};

/// One thing that is wrong, or may not be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the file, in bytes; nothing when no place in it is to blame.
    pub span: Option<Range<usize>>,
    /// What is wrong.
    pub title: String,
    /// What would happen if it were let through.
    pub label: String,
    /// What to do about it.
    pub help: String,
    /// Another place in the file that has to do with it, and what stands there.
    pub context: Option<(Range<usize>, String)>,
}

impl Problem {
    /// A problem at a place.
    #[must_use]
    pub fn at(span: Range<usize>, title: impl Into<String>) -> Self {
        Self { span: Some(span), ..Self::nowhere(title) }
    }

    /// A problem that no place in the file is to blame for.
    #[must_use]
    pub fn nowhere(title: impl Into<String>) -> Self {
        Self {
            span: None,
            title: redact_words(&title.into()),
            label: String::new(),
            help: String::new(),
            context: None,
        }
    }

    /// The same problem, with what would happen.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { label: redact_words(&label.into()), ..self }
    }

    /// The same problem, with what to do about it.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: redact_words(&help.into()), ..self }
    }

    /// The same problem, with another place that has to do with it.
    #[must_use]
    pub fn context(self, span: Range<usize>, label: impl Into<String>) -> Self {
        Self { context: Some((span, redact_words(&label.into()))), ..self }
    }
}

/// All problems of a config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: String,
    /// The file's text, with whatever may be a secret blotted out.
    text: String,
    /// What keeps the daemon from running, in the order of the file.
    pub errors: Vec<Problem>,
    /// What is allowed but may not be meant, in the order of the file.
    pub warnings: Vec<Problem>,
}

impl Problems {
    /// The problems found in `file`, whose content is `text`.
    pub(super) fn new(
        file: String,
        text: &str,
        mut errors: Vec<Problem>,
        mut warnings: Vec<Problem>,
    ) -> Self {
        errors.sort_by_key(place);
        warnings.sort_by_key(place);
        Self { file, text: redact_source(text), errors, warnings }
    }

    /// The same file's problems, with these that were found out later.
    #[must_use]
    pub fn and(self, errors: Vec<Problem>, warnings: Vec<Problem>) -> Self {
        let all = |mut own: Vec<Problem>, found: Vec<Problem>| {
            own.extend(found);
            own.sort_by_key(place);
            own
        };
        let (errors, warnings) = (all(self.errors, errors), all(self.warnings, warnings));
        Self { errors, warnings, ..self }
    }

    /// The line of the file that a problem is at, from one on; nothing when no place is to blame.
    #[must_use]
    pub fn line(&self, problem: &Problem) -> Option<usize> {
        let before = self.text.as_bytes().iter().take(problem.span.as_ref()?.start);
        Some(before.filter(|byte| **byte == b'\n').count() + 1)
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty() && self.warnings.is_empty()
    }

    /// All problems as a person reads them: errors, then warnings, then how many.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut parts = Vec::new();
        for problem in &self.errors {
            parts.push(renderer.render(&[self.draw(problem, &Level::ERROR)]));
        }
        for problem in &self.warnings {
            parts.push(renderer.render(&[self.draw(problem, &Level::WARNING)]));
        }
        parts.push(format!("{}: {}", self.file, self.count()));
        parts.join("\n\n")
    }

    fn draw<'a>(&'a self, problem: &'a Problem, level: &Level<'a>) -> Group<'a> {
        let group = level.clone().primary_title(problem.title.as_str());
        let Some(span) = &problem.span else {
            let group = group.element(Origin::path(self.file.as_str()));
            return group
                .element(Level::NOTE.message(problem.label.as_str()))
                .element(Level::HELP.message(problem.help.as_str()));
        };
        let label = problem.label.as_str();
        let primary = AnnotationKind::Primary.span(self.within(span)).label(label);
        let mut snippet = Snippet::source(self.text.as_str()).path(self.file.as_str());
        snippet = snippet.annotation(primary);
        if let Some((span, label)) = &problem.context {
            let context = AnnotationKind::Context.span(self.within(span));
            snippet = snippet.annotation(context.label(label.as_str()));
        }
        group.element(snippet).element(Level::HELP.message(problem.help.as_str()))
    }

    /// The part of `span` that lies in the text. A syntax error may point behind its end.
    fn within(&self, span: &Range<usize>) -> Range<usize> {
        let end = span.end.min(self.text.len());
        span.start.min(end)..end
    }

    fn count(&self) -> String {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (errors, warnings) = (self.errors.len(), self.warnings.len());
        format!("{errors} error{}, {warnings} warning{}", plural(errors), plural(warnings))
    }
}

/// What has no place comes last: it is what is missing from the file as a whole.
fn place(problem: &Problem) -> usize {
    problem.span.as_ref().map_or(usize::MAX, |span| span.start)
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}
