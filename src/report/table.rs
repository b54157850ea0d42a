//! Columns without borders, as kubectl prints them.

use comfy_table::{CellAlignment, ContentArrangement, presets};

/// A table that grows by rows.
#[derive(Debug)]
pub struct Table(comfy_table::Table);

impl Table {
    /// A table with these column heads; heads that begin with `>` are of columns set flush right.
    #[must_use]
    pub fn new(heads: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(heads.iter().map(|head| head.trim_start_matches('>')));
        for (index, head) in heads.iter().enumerate() {
            if let Some(column) = table.column_mut(index) {
                column.set_padding((0, 2));
                if head.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self(table)
    }

    /// Adds a row of as many cells as there are heads.
    pub fn row<I>(&mut self, cells: I)
    where
        I: IntoIterator,
        I::Item: Into<comfy_table::Cell>,
    {
        self.0.add_row(cells);
    }

    /// The text, one line a row, without trailing blanks.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}
