//! A PDF of plain text. Here: lines become a small and whole document. Never here: what the lines
//! say ([`super::documents`]). Read next: [`super::documents`].

use std::io::Write as _;

/// Lines of a page, at twelve points of a sheet of A4, within its margins.
const LINES_PER_PAGE: usize = 60;
/// Objects before those of the pages: the catalog, the tree of pages, the typeface.
const OBJECTS_BEFORE: usize = 3;

/// A document under construction: its bytes, and where each object begins.
#[derive(Default)]
struct Draft {
    bytes: Vec<u8>,
    begins: Vec<usize>,
}

impl Draft {
    fn object(&mut self, body: &str) {
        self.begins.push(self.bytes.len());
        let number = self.begins.len();
        self.text(&format!("{number} 0 obj\n{body}\nendobj\n"));
    }

    fn text(&mut self, text: &str) {
        self.bytes.write_all(text.as_bytes()).expect("a vector takes every byte");
    }

    /// The table of where the objects begin, which readers go by.
    fn close(mut self) -> Vec<u8> {
        let (table, count) = (self.bytes.len(), self.begins.len() + 1);
        self.text(&format!("xref\n0 {count}\n0000000000 65535 f \n"));
        for at in std::mem::take(&mut self.begins) {
            self.text(&format!("{at:010} 00000 n \n"));
        }
        let trailer = format!("trailer\n<< /Size {count} /Root 1 0 R >>\n");
        self.text(&format!("{trailer}startxref\n{table}\n%%EOF\n"));
        self.bytes
    }
}

/// A document of these lines, a page after the other.
pub(super) fn document(lines: &[String]) -> Vec<u8> {
    let pages: Vec<&[String]> = match lines {
        [] => vec![&[]],
        lines => lines.chunks(LINES_PER_PAGE).collect(),
    };
    // A page is an object, and the text on it another.
    let page = |place: usize| OBJECTS_BEFORE + 1 + 2 * place;
    let kids: Vec<String> = (0..pages.len()).map(|place| format!("{} 0 R", page(place))).collect();
    let mut draft = Draft::default();
    draft.text("%PDF-1.4\n");
    draft.object("<< /Type /Catalog /Pages 2 0 R >>");
    let (kids, count) = (kids.join(" "), pages.len());
    draft.object(&format!("<< /Type /Pages /Kids [{kids}] /Count {count} >>"));
    draft.object("<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>");
    for (place, lines) in pages.into_iter().enumerate() {
        let text = page(place) + 1;
        draft.object(&format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {text} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>"
        ));
        let shown: String = lines.iter().map(|line| format!("({}) '\n", escaped(line))).collect();
        let content = format!("BT\n/F1 9 Tf\n12 TL\n40 800 Td\n{shown}ET");
        draft.object(&format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    draft.close()
}

/// A line as it may stand in a string. What the typeface may not have is left to the imagination.
fn escaped(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    for letter in line.chars() {
        match letter {
            '(' | ')' | '\\' => safe.extend(['\\', letter]),
            ' '..='~' => safe.push(letter),
            _ => safe.push('?'),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_is_where_the_table_says() {
        let lines: Vec<String> = (0..130).map(|number| format!("line (ü) \\ {number}")).collect();
        for lines in [&lines[..], &lines[..1], &[]] {
            let text = String::from_utf8(document(lines)).unwrap();
            assert!(text.starts_with("%PDF-1.4\n") && text.ends_with("%%EOF\n"));
            let (_, table) = text.rsplit_once("startxref\n").unwrap();
            let table: usize = table.lines().next().unwrap().parse().unwrap();
            let entries = text[table..].lines().skip(3).map_while(|entry| {
                let (at, rest) = entry.split_once(' ')?;
                rest.starts_with("00000 n").then(|| at.parse::<usize>().unwrap())
            });
            let mut count = 0;
            for (place, at) in entries.enumerate() {
                let begins = format!("{} 0 obj\n", place + 1);
                assert!(text[at..].starts_with(&begins), "{at}");
                count += 1;
            }
            let pages = lines.len().div_ceil(LINES_PER_PAGE).max(1);
            assert_eq!(count, OBJECTS_BEFORE + 2 * pages);
            assert_eq!(text.matches(") '\n").count(), lines.len());
        }
        let text = String::from_utf8(document(&lines)).unwrap();
        assert!(text.contains("(line \\(?\\) \\\\ 0) '"), "{text}");
    }
}
