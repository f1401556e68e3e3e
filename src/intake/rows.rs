//! Rows of a file, one at a time. PURE. Here: cutting a stream into rows without ever holding more
//! of it than one row may have. Never here: what a row says. Read next: [`super::csv`].

use std::io::{self, BufRead, ErrorKind};

/// What some editors write in front of UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What ends a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cutting {
    /// Every line feed.
    Lines,
    /// Every line feed or carriage return outside quotation marks, which open only where a cell
    /// does.
    Csv {
        /// What stands between two cells.
        delimiter: u8,
    },
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A row; it begins on this line, counted from one.
    Row {
        /// The line.
        line: u64,
    },
    /// A row too long to be held; only its start was kept.
    Overlong {
        /// The line it begins on.
        line: u64,
        /// Its length, in bytes.
        bytes: u64,
    },
    /// Nothing: the end.
    End,
}

/// Where in a row the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    CellStart,
    Cell,
    Quoted,
    QuoteInQuoted,
}

/// Where in a stream a row begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowStart {
    /// How many bytes lie before it.
    pub offset: u64,
    /// The line it begins on, counted from one.
    pub line: u64,
}

impl RowStart {
    /// The first one.
    pub const FIRST: Self = Self { offset: 0, line: 1 };
}

/// Cuts a stream into rows.
#[derive(Debug)]
pub struct Rows<R> {
    reader: R,
    cutting: Cutting,
    row_bytes_max: usize,
    next: RowStart,
    ended: bool,
    last: u8,
}

impl<R: BufRead> Rows<R> {
    /// Rows of at most `row_bytes_max` bytes.
    pub fn new(reader: R, cutting: Cutting, row_bytes_max: usize) -> Self {
        Self::resume(reader, cutting, row_bytes_max, RowStart::FIRST, 0)
    }

    /// The rows of a stream from the one on that starts at `start`, behind the byte `last`;
    /// `reader` begins there.
    pub fn resume(
        reader: R,
        cutting: Cutting,
        row_bytes_max: usize,
        start: RowStart,
        last: u8,
    ) -> Self {
        Self { reader, cutting, row_bytes_max, next: start, ended: true, last }
    }

    /// Where the next row begins.
    pub const fn next(&self) -> RowStart {
        self.next
    }

    /// Whether something ended the newest row; nothing does where the stream breaks off.
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether zeros end what was read last: then nothing was written there yet.
    pub const fn ends_in_zeros(&self) -> bool {
        !self.ended && self.last == 0
    }

    /// Reads the next row that is not empty into `row`, without what ends it. Zeros before it are
    /// no part of it: a file has them where nothing was ever written, and so at its beginning when
    /// it is cut under a writer that goes on where it stood.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub fn next_into(&mut self, row: &mut Vec<u8>) -> io::Result<Found> {
        loop {
            let RowStart { offset, line } = self.next;
            let (bytes, ended) = self.next_raw(row)?;
            self.ended = ended;
            if line == 1 && row.starts_with(BYTE_ORDER_MARK) {
                row.drain(..BYTE_ORDER_MARK.len());
            }
            if bytes > u64::try_from(self.row_bytes_max).unwrap_or(u64::MAX) {
                return Ok(Found::Overlong { line, bytes });
            }
            if !row.is_empty() {
                return Ok(Found::Row { line });
            }
            if !ended {
                // What is written into zeros that end a file comes after what was read.
                self.next.offset = offset;
                return Ok(Found::End);
            }
        }
    }

    /// The next row, empty or not: its length, and whether something ended it.
    fn next_raw(&mut self, row: &mut Vec<u8>) -> io::Result<(u64, bool)> {
        row.clear();
        let mut at = At::CellStart;
        let mut bytes: u64 = 0;
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok([]) => return Ok((bytes, false)),
                Ok(chunk) => chunk,
                Err(why) if why.kind() == ErrorKind::Interrupted => continue,
                Err(why) => return Err(why),
            };
            let mut used = 0;
            let mut ended = false;
            for byte in chunk.iter().copied() {
                used += 1;
                // A carriage return and the line feed behind it are one line.
                let breaks = byte == b'\n' && self.last != b'\r' || byte == b'\r';
                self.next.line += u64::from(breaks);
                self.last = byte;
                if byte == 0 && bytes == 0 {
                    continue;
                }
                let marks = BYTE_ORDER_MARK.get(row.len()) == Some(&byte) && bytes < 3;
                if !marks {
                    (at, ended) = step(self.cutting, at, byte);
                }
                if ended {
                    break;
                }
                bytes += 1;
                if row.len() < self.row_bytes_max {
                    row.push(byte);
                }
            }
            self.reader.consume(used);
            self.next.offset += u64::try_from(used).unwrap_or(u64::MAX);
            if ended {
                return Ok((bytes, true));
            }
        }
    }
}

/// Where a byte leads, and whether it ends the row.
fn step(cutting: Cutting, at: At, byte: u8) -> (At, bool) {
    let Cutting::Csv { delimiter } = cutting else { return (at, byte == b'\n') };
    let ends = byte == b'\n' || byte == b'\r';
    match at {
        At::Quoted if byte == b'"' => (At::QuoteInQuoted, false),
        At::Quoted => (At::Quoted, false),
        At::QuoteInQuoted | At::CellStart if byte == b'"' => (At::Quoted, false),
        At::QuoteInQuoted | At::CellStart | At::Cell if ends => (At::CellStart, true),
        At::QuoteInQuoted | At::CellStart | At::Cell if byte == delimiter => (At::CellStart, false),
        At::QuoteInQuoted | At::CellStart | At::Cell => (At::Cell, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, cutting: Cutting, expected: &[(u64, &str)]) {
        // A buffer of two bytes, so that every boundary falls between two readings somewhere.
        let reader = io::BufReader::with_capacity(2, text.as_bytes());
        let mut rows = Rows::new(reader, cutting, 20);
        let mut found = Vec::new();
        let mut row = Vec::new();
        loop {
            match rows.next_into(&mut row).unwrap() {
                Found::Row { line } => found.push((line, String::from_utf8(row.clone()).unwrap())),
                Found::Overlong { line, bytes } => found.push((line, format!("{bytes} bytes"))),
                Found::End => break,
            }
        }
        let expected: Vec<(u64, String)> =
            expected.iter().map(|(line, row)| (*line, (*row).to_owned())).collect();
        assert_eq!(found, expected, "{text:?}");
        assert_eq!(rows.next().offset, u64::try_from(text.len()).unwrap());
    }

    #[test]
    fn a_stream_that_is_taken_up_at_a_row_s_start_gives_the_rows_that_were_left() {
        let text = "\u{feff}a,\"b\r\nc\"\r\n\r\nd\re\n\nf";
        let csv = Cutting::Csv { delimiter: b',' };
        let read = |rows: &mut Rows<&[u8]>| {
            let mut row = Vec::new();
            let found = rows.next_into(&mut row).unwrap();
            (found, String::from_utf8(row).unwrap(), rows.is_ended())
        };
        let mut rows = Rows::new(text.as_bytes(), csv, 20);
        loop {
            let start = rows.next();
            let offset = usize::try_from(start.offset).unwrap();
            let last = text.as_bytes()[..offset].last().copied().unwrap_or_default();
            let mut resumed = Rows::resume(&text.as_bytes()[offset..], csv, 20, start, last);
            let found = read(&mut rows);
            assert_eq!(read(&mut resumed), found, "from {start:?} on");
            assert_eq!(found.2, !matches!(found.1.as_str(), "f" | ""), "{found:?}");
            if found.0 == Found::End {
                break;
            }
        }
    }

    #[test]
    fn lines_are_cut_at_line_feeds_only() {
        let long = "x".repeat(50);
        check("", Cutting::Lines, &[]);
        check("\0\0a\0b\n\0\n\0\0c", Cutting::Lines, &[(1, "a\0b"), (3, "c")]);
        check("\n\n", Cutting::Lines, &[]);
        check("\u{feff}a\nb", Cutting::Lines, &[(1, "a"), (2, "b")]);
        check("a\r\n\r\n\"b\nc\n", Cutting::Lines, &[(1, "a\r"), (2, "\r"), (3, "\"b"), (4, "c")]);
        check(&format!("a\n{long}\nb\n"), Cutting::Lines, &[(1, "a"), (2, "50 bytes"), (3, "b")]);
    }

    #[test]
    fn csv_rows_may_hold_line_ends_in_quotation_marks() {
        let csv = Cutting::Csv { delimiter: b',' };
        check("a,b\r\nc,d\r\n", csv, &[(1, "a,b"), (2, "c,d")]);
        check("a,\"b\nc\"\nd", csv, &[(1, "a,\"b\nc\""), (3, "d")]);
        check("\u{feff}\"a\nb\"\nc", csv, &[(1, "\"a\nb\""), (3, "c")]);
        check("5\" pipe,1\nb", csv, &[(1, "5\" pipe,1"), (2, "b")]);
        check("\"a \"\"b\"\"\",1\n\nc", csv, &[(1, "\"a \"\"b\"\"\",1"), (3, "c")]);
        check(&format!("\"{}\n\",1\nb", "x".repeat(40)), csv, &[(1, "45 bytes"), (3, "b")]);
    }
}
