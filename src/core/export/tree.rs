//! YAML as a tree that knows where in the text each node is. Values are not interpreted.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

use super::ExportError;

/// Deeper than any manifest.
const DEEPEST: usize = 64;

/// A file.
#[derive(Debug)]
pub(super) struct File {
    /// The root of each document.
    pub(super) documents: Vec<Node>,
    /// Comments by the line that they are on.
    pub(super) comments: Vec<(usize, String)>,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Where it is; of a block only where it begins.
    pub(super) range: Range<usize>,
    /// The line that it begins on, from 1.
    pub(super) line: usize,
    /// It has an anchor: others may be it too.
    pub(super) anchored: bool,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind {
    Map { flow: bool, entries: Vec<(Node, Node)> },
    List { flow: bool, items: Vec<Node> },
    Scalar { text: String, style: ScalarStyle },
    Alias,
}

impl Node {
    /// The value of a key, where this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// A key and its value.
    pub(super) fn entry(&self, key: &str) -> Option<&(Self, Self)> {
        let Kind::Map { entries, .. } = &self.kind else { return None };
        entries.iter().find(|(name, _)| name.text() == Some(key))
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Nothing is said: an empty value or a null.
    pub(super) fn is_null(&self) -> bool {
        let Kind::Scalar { text, style: ScalarStyle::Plain } = &self.kind else { return false };
        matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// Where the last of it ends.
    pub(super) fn end(&self) -> usize {
        match &self.kind {
            Kind::Map { flow: false, entries } => {
                entries.last().map_or(self.range.end, |(key, value)| value.end_or(key))
            }
            Kind::List { flow: false, items } => items.last().map_or(self.range.end, Self::end),
            _ => self.range.end,
        }
    }

    /// Where a value ends, or its key where it is not there: what is not there may be said to be anywhere.
    pub(super) fn end_or(&self, key: &Self) -> usize {
        if self.is_null() && self.range.is_empty() { key.end() } else { self.end() }
    }

    /// Whether the last of it is a text in lines (`|` or `>`).
    pub(super) fn ends_in_lines(&self) -> bool {
        match &self.kind {
            Kind::Map { flow: false, entries } => {
                entries.last().is_some_and(|(_, value)| value.ends_in_lines())
            }
            Kind::List { flow: false, items } => items.last().is_some_and(Self::ends_in_lines),
            Kind::Scalar { style, .. } => matches!(style, ScalarStyle::Literal | ScalarStyle::Folded),
            _ => false,
        }
    }
}

/// What is not finished yet.
enum Open {
    Map {
        flow: bool,
        entries: Vec<(Node, Node)>,
        key: Option<Node>,
        range: Range<usize>,
        line: usize,
        anchored: bool,
    },
    List {
        flow: bool,
        items: Vec<Node>,
        range: Range<usize>,
        line: usize,
        anchored: bool,
    },
}

/// Reads a text, of any number of documents.
pub(super) fn read(text: &str) -> Result<File, ExportError> {
    let mut file = File { documents: Vec::new(), comments: Vec::new() };
    let mut open: Vec<Open> = Vec::new();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| ExportError::Unreadable {
            line: error.marker().line().max(1),
            what: error.info(),
        })?;
        let (range, line) = place(&span, text)?;
        let finished = match event {
            Event::Comment(said, _) => {
                file.comments.push((line, said.trim().to_owned()));
                None
            }
            Event::MappingStart(style, anchor, _) => {
                let (flow, anchored) = (style == StructureStyle::Flow, anchor != 0);
                open.push(Open::Map { flow, entries: Vec::new(), key: None, range, line, anchored });
                None
            }
            Event::SequenceStart(style, anchor, _) => {
                let (flow, anchored) = (style == StructureStyle::Flow, anchor != 0);
                open.push(Open::List { flow, items: Vec::new(), range, line, anchored });
                None
            }
            Event::MappingEnd | Event::SequenceEnd => open.pop().map(|open| close(open, range.end)),
            Event::Scalar(value, style, anchor, _) => {
                let kind = Kind::Scalar { text: value.into_owned(), style };
                Some(Node { kind, range, line, anchored: anchor != 0 })
            }
            Event::Alias(_) => Some(Node { kind: Kind::Alias, range, line, anchored: false }),
            _ => None,
        };
        if open.len() > DEEPEST {
            return Err(ExportError::Unreadable { line, what: format!("nested deeper than {DEEPEST}") });
        }
        let Some(node) = finished else { continue };
        match open.last_mut() {
            None => file.documents.push(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
    }
    Ok(file)
}

fn place(span: &Span, text: &str) -> Result<(Range<usize>, usize), ExportError> {
    let line = span.start.line().max(1);
    let range = span.byte_range().filter(|range| text.get(range.clone()).is_some());
    let range =
        range.ok_or_else(|| ExportError::Unreadable { line, what: "its place is not known".to_owned() })?;
    Ok((range, line))
}

fn close(open: Open, end: usize) -> Node {
    match open {
        Open::Map { flow, entries, range, line, anchored, .. } => {
            let range = if flow { range.start..end } else { range.start..range.start };
            Node { kind: Kind::Map { flow, entries }, range, line, anchored }
        }
        Open::List { flow, items, range, line, anchored } => {
            let range = if flow { range.start..end } else { range.start..range.start };
            Node { kind: Kind::List { flow, items }, range, line, anchored }
        }
    }
}
