//! Rust text, cut as far as the rules need. Here: code apart from comments and string literals,
//! tokens with their lines, functions with their length. Never here: a rule; a parser of the whole
//! language. Read next: [`super::graph`].

use std::path::{Path, PathBuf};

/// One Rust file.
pub(super) struct File {
    /// Its path from the root of the repository, with `/` between the parts.
    pub(super) path: String,
    /// As it lies there.
    pub(super) text: String,
    /// Its comments; everything else blanked, so that lines and columns stay.
    pub(super) comments: String,
    /// Its code; comments and literals blanked.
    pub(super) code: String,
    /// The tokens of its code.
    pub(super) tokens: Vec<Token>,
}

/// An identifier, a number, `::`, or one other character.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

/// A function with a body.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    /// From the line of `fn` to the line of the closing brace.
    pub(super) lines: usize,
    pub(super) is_test: bool,
}

impl File {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let (code, comments) = apart(text);
        let (path, text) = (path.to_owned(), text.to_owned());
        let tokens = tokens(&code);
        Self { path, text, comments, code, tokens }
    }

    /// A finding at a line of this file.
    pub(super) fn finding(&self, line: usize, what: impl AsRef<str>) -> String {
        format!("{}:{line}: {}", self.path, what.as_ref())
    }

    /// Whether the tokens from `at` on are these.
    pub(super) fn reads(&self, at: usize, words: &[&str]) -> bool {
        let found = self.tokens.get(at..at + words.len());
        found.is_some_and(|found| found.iter().map(|token| &token.text).eq(words))
    }

    /// The module documentation: the `//!` lines at the top, as one text.
    pub(super) fn module_doc(&self) -> String {
        let lines = self.text.lines().map_while(|line| line.strip_prefix("//!"));
        lines.map(str::trim).collect::<Vec<_>>().join(" ")
    }

    /// The functions that have a body, in the order of their `fn`.
    pub(super) fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        let mut is_test = false;
        for at in 0..self.tokens.len() {
            is_test |= self.reads(at, &["#", "[", "test", "]"])
                || self.reads(at, &["#", "[", "tokio", "::", "test"]);
            if self.tokens[at].text != "fn" || !self.tokens.get(at + 1).is_some_and(Token::is_word)
            {
                continue;
            }
            if let Some(end) = self.body_end(at) {
                let line = self.tokens[at].line;
                let name = self.tokens[at + 1].text.clone();
                let lines = self.tokens[end].line - line + 1;
                functions.push(Function { name, line, lines, is_test });
            }
            is_test = false;
        }
        functions
    }

    /// The closing brace of the body that begins after `at`; nothing when `;` comes first.
    fn body_end(&self, at: usize) -> Option<usize> {
        let (mut braces, mut others) = (0, 0);
        for (index, token) in self.tokens.iter().enumerate().skip(at) {
            match token.text.as_str() {
                "(" | "[" => others += 1,
                ")" | "]" => others -= 1,
                ";" if braces == 0 && others == 0 => return None,
                "{" => braces += 1,
                "}" => {
                    braces -= 1;
                    if braces == 0 {
                        return Some(index);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

impl Token {
    /// Whether it is an identifier or a keyword.
    pub(super) fn is_word(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// The root of the repository.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files under `folder` whose names end in `.extension`, by path.
pub(super) fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut folders = vec![root().join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The Rust files under `folder`, by path.
pub(super) fn rust_files(folder: &str) -> Vec<File> {
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        File::new(path.strip_prefix(root()).unwrap().to_str().unwrap(), &text)
    };
    files(folder, "rs").into_iter().map(read).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Code and comments, each with everything else blanked.
fn apart(text: &str) -> (String, String) {
    let characters: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while at < characters.len() {
        let (kind, end) = piece(&characters, at);
        for &character in &characters[at..end] {
            let blank = if character == '\n' { '\n' } else { ' ' };
            code.push(if kind == Kind::Code { character } else { blank });
            comments.push(if kind == Kind::Comment { character } else { blank });
        }
        at = end;
    }
    (code, comments)
}

/// What begins at `at`, and where it ends.
fn piece(characters: &[char], at: usize) -> (Kind, usize) {
    let is = |index: usize, wanted: char| characters.get(index) == Some(&wanted);
    if is(at, '/') && is(at + 1, '/') {
        let length = characters[at..].iter().take_while(|character| **character != '\n').count();
        return (Kind::Comment, at + length);
    }
    if is(at, '/') && is(at + 1, '*') {
        return (Kind::Comment, comment_end(characters, at));
    }
    if is(at, '\'') {
        return match character_end(characters, at) {
            Some(end) => (Kind::Literal, end),
            None => (Kind::Code, at + 1),
        };
    }
    let inside_a_word = at > 0 && is_word_part(characters[at - 1]);
    let may_begin = is(at, '"') || (!inside_a_word && is_word_part(characters[at]));
    if may_begin && let Some(end) = string_end(characters, at) {
        return (Kind::Literal, end);
    }
    (Kind::Code, at + 1)
}

fn is_word_part(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The end of a block comment; they nest.
fn comment_end(characters: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at + 1 < characters.len() {
        match (characters[at], characters[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    characters.len()
}

/// The end of a character literal; nothing for a lifetime.
fn character_end(characters: &[char], at: usize) -> Option<usize> {
    if characters.get(at + 1) == Some(&'\\') {
        let close = characters.iter().skip(at + 3).position(|character| *character == '\'')?;
        return Some(at + 3 + close + 1);
    }
    (characters.get(at + 2) == Some(&'\'')).then_some(at + 3)
}

/// The end of the string literal that begins at `at`, with its prefix, if one begins there.
fn string_end(characters: &[char], at: usize) -> Option<usize> {
    let mut open = at;
    if matches!(characters.get(open), Some('b' | 'c')) {
        open += 1;
    }
    let raw = characters.get(open) == Some(&'r');
    open += usize::from(raw);
    let hashes = characters[open..].iter().take_while(|character| **character == '#').count();
    if (hashes > 0 && !raw) || characters.get(open + hashes) != Some(&'"') {
        return None;
    }
    let mut end = open + hashes + 1;
    while end < characters.len() {
        let closing = characters[end] == '"'
            && characters[end + 1..].iter().take(hashes).filter(|after| **after == '#').count()
                == hashes;
        if closing {
            return Some(end + 1 + hashes);
        }
        end += if characters[end] == '\\' && !raw { 2 } else { 1 };
    }
    Some(characters.len())
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (index, text) in code.lines().enumerate() {
        let line = index + 1;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            if character.is_whitespace() {
                continue;
            }
            let mut text = String::from(character);
            if is_word_part(character) {
                while let Some(next) = characters.next_if(|next| is_word_part(*next)) {
                    text.push(next);
                }
            } else if character == ':' && characters.next_if_eq(&':').is_some() {
                text.push(':');
            }
            tokens.push(Token { text, line });
        }
    }
    tokens
}

#[test]
fn code_is_told_from_comments_and_literals() {
    let text = concat!(
        "let a = \"x // \\\" y\"; // one {\n",
        "/* two /* { */ */ let b = r#\"{ \" {\"# + 'c' + '\\'' + b\"{\" + br##\"{\"# {\"##;\n",
        "fn f<'a>(r: &'a str) -> r#type { r }\n",
    );
    let (code, comments) = apart(text);
    assert_eq!(
        code.split_whitespace().collect::<Vec<_>>().join(" "),
        "let a = ; let b = + + + + ; \
        fn f<'a>(r: &'a str) -> r#type { r }"
    );
    assert_eq!(
        comments.split_whitespace().collect::<Vec<_>>().join(" "),
        "// one { /* two /* { */ */"
    );
    assert_eq!(code.lines().count(), text.lines().count());
}

#[test]
fn a_function_reaches_to_its_closing_brace() {
    let text = concat!(
        "trait T { fn none(&self) -> [u8; 2]; }\n",
        "#[tokio::test(start_paused = true)]\n",
        "async fn outer(call: fn(u8)) {\n",
        "    if '{' == '}' { \"{{{\"; }\n",
        "    fn inner() {}\n",
        "}\n",
        "#[test]\nfn one_more() {}\n",
    );
    let functions: Vec<(String, usize, usize, bool)> = File::new("a.rs", text)
        .functions()
        .into_iter()
        .map(|function| (function.name, function.line, function.lines, function.is_test))
        .collect();
    let expected = [("outer", 3, 4, true), ("inner", 5, 1, false), ("one_more", 8, 1, true)];
    assert_eq!(
        functions,
        expected.map(|(name, line, lines, test)| (name.into(), line, lines, test))
    );
}
