//! Tables. PURE. Here: rows under headings, as wide as what they hold. Never here: what a cell
//! says. Read next: [`super::words`].

use std::io::{self, Write};

/// What stands between two columns.
const GAP: &str = "  ";

/// On which side the cells of a column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Texts.
    Left,
    /// Numbers, so that their ends meet.
    Right,
}

/// Rows under headings. A column that holds nothing at all is left out.
#[derive(Debug)]
pub(crate) struct Table<const COLUMNS: usize> {
    sides: [Side; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table with headings.
    pub(crate) fn new(columns: [(&str, Side); COLUMNS]) -> Self {
        let heading = columns.map(|(name, _)| name.to_owned());
        Self { sides: columns.map(|(_, side)| side), rows: vec![heading] }
    }

    /// A table without headings: names and what they stand for.
    pub(crate) const fn bare(sides: [Side; COLUMNS]) -> Self {
        Self { sides, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells);
    }

    /// Writes the table, each line behind `indent`.
    pub(crate) fn write(&self, out: &mut dyn Write, indent: &str) -> io::Result<()> {
        let mut widths = [0; COLUMNS];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.rows {
            let mut line = String::from(indent);
            let columns = row.iter().zip(widths).zip(self.sides);
            for ((cell, width), side) in columns.filter(|((_, width), _)| *width > 0) {
                if line.len() > indent.len() {
                    line.push_str(GAP);
                }
                match side {
                    Side::Left => line.push_str(&format!("{cell:<width$}")),
                    Side::Right => line.push_str(&format!("{cell:>width$}")),
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell_and_lines_end_where_their_text_does() {
        let mut table =
            Table::new([("meter", Side::Left), ("told", Side::Right), ("why", Side::Left)]);
        table.row(["größe".to_owned(), "12.5".to_owned(), String::new()]);
        table.row(["requests".to_owned(), "3".to_owned(), "late".to_owned()]);
        let mut out = Vec::new();
        table.write(&mut out, "  ").unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @"
          meter     told  why
          größe     12.5
          requests     3  late
        ");
    }
}
