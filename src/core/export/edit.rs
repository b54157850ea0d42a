//! One container's resources as ranges of a text that are replaced or put in.

use std::ops::Range;

use granit_parser::ScalarStyle;

use super::find::Place;
use super::target::{Amounts, Container, Written};
use super::tree::{Kind, Node};
use crate::units::Quantity;

/// What of a file is replaced so far.
pub(super) struct Edits<'t> {
    text: &'t str,
    edits: Vec<(Range<usize>, String)>,
}

/// An amount that is not what it should be.
pub(super) struct Found {
    pub(super) line: usize,
    pub(super) what: &'static str,
    pub(super) from: Option<String>,
    pub(super) to: String,
}

/// An amount that is to be written: `requests`, `cpu`, `180m`.
type Entry<'a> = (&'static str, &'static str, &'a str);

/// Why a container is left, and on which line that is seen.
type Refused = (usize, &'static str);

const SHARED: &str = "it has an anchor or is an alias, so others would change with it";
const MERGED: &str = "it merges another map (<<), so what it states is not all that it has";
const ODD: &str = "it is no map of amounts";

impl<'t> Edits<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, edits: Vec::new() }
    }

    /// The text with everything replaced.
    pub(super) fn applied(mut self) -> String {
        // What is put in at one place stays in its order.
        self.edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut text = String::with_capacity(self.text.len() + 256);
        let mut from = 0;
        for (range, new) in &self.edits {
            text.push_str(self.text.get(from..range.start).unwrap_or_default());
            text.push_str(new);
            from = range.end;
        }
        text.push_str(self.text.get(from..).unwrap_or_default());
        text
    }

    /// Writes what a container should have, where it drifts; answers what that changes.
    pub(super) fn container(
        &mut self,
        place: &Place<'_>,
        target: &Container,
        exact: bool,
    ) -> Result<Vec<Found>, Refused> {
        let resources = place.holder.get(&place.key);
        let has = Stated::read(place, resources)?;
        let mut wanted = Vec::new();
        let mut drifts = exact;
        for (resource, amounts) in [("cpu", &target.cpu), ("memory", &target.memory)] {
            let (request, limit) = (has.amount("requests", resource)?, has.amount("limits", resource)?);
            drifts |= amounts.request_drifts(request.map(|(value, _)| value));
            drifts |= amounts.limit_drifts(limit.map(|(value, _)| value));
            wanted.extend(written(resource, amounts, request, limit));
        }
        if !drifts {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mut new: Vec<Entry<'_>> = Vec::new();
        for (section, resource, to) in &wanted {
            let node = has.node(section, resource);
            let from = node.and_then(Node::text).map(str::to_owned);
            if let Some(node) = node {
                self.replace(node, to);
            } else {
                new.push((section, resource, to));
            }
            let line = node.or(has.section(section)).or(resources).map_or(place.line, |node| node.line);
            found.push(Found { line, what: name(section, resource), from, to: to.clone() });
        }
        self.put_in(place, &has, &new);
        Ok(found)
    }

    /// An amount for an amount, in the quotes that it was in.
    fn replace(&mut self, node: &Node, to: &str) {
        let quote = match &node.kind {
            Kind::Scalar { style: ScalarStyle::DoubleQuoted, .. } => "\"",
            Kind::Scalar { style: ScalarStyle::SingleQuoted, .. } => "'",
            // JSON knows numbers without quotes, and no such texts.
            _ if self.is_json() => "\"",
            _ => "",
        };
        self.edits.push((node.range.clone(), format!("{quote}{to}{quote}")));
    }

    /// Entries that are not there yet, into the innermost map that is.
    fn put_in(&mut self, place: &Place<'_>, has: &Stated<'_>, new: &[Entry<'_>]) {
        let sections = ["requests", "limits"]
            .map(|section| (section, new.iter().filter(|entry| entry.0 == section).collect::<Vec<_>>()));
        // Amounts into sections that are there; sections that are not, into the resources.
        let mut absent: Vec<Tree<'_>> = Vec::new();
        for (section, entries) in sections.iter().filter(|(_, entries)| !entries.is_empty()) {
            let leaves: Vec<Tree<'_>> = entries.iter().map(|entry| Tree::Leaf(entry.1, entry.2)).collect();
            match has.section(section) {
                Some(node) => self.put_into(has.resources, node, has.key_of(section), &leaves),
                None => absent.push(Tree::Branch(section, leaves)),
            }
        }
        if absent.is_empty() {
            return;
        }
        match place.holder.entry(&place.key) {
            Some((key, resources)) => self.put_into(Some(place.holder), resources, Some(key), &absent),
            None => self.put_into(None, place.holder, None, &[Tree::Branch(&place.key, absent)]),
        }
    }

    /// Into a map, or into what should be one and says nothing; `parent` has it under `key`.
    fn put_into(&mut self, parent: Option<&Node>, node: &Node, key: Option<&Node>, trees: &[Tree<'_>]) {
        match &node.kind {
            Kind::Map { flow: false, entries } if !entries.is_empty() => {
                let column = entries.first().map_or(0, |(key, _)| self.column(key.range.start));
                // Lines behind a text in lines could become a part of it, or end it otherwise than it did.
                let safe = entries.iter().rev().find(|(_, value)| !value.ends_in_lines());
                let end = safe.map_or(node.end(), |(key, value)| value.end_or(key));
                self.lines_after(end, column, trees);
            }
            Kind::Map { flow: true, entries } if !entries.is_empty() => self.beside(node, entries, trees),
            // Empty, null, or not said at all.
            _ => {
                let in_block =
                    parent.is_some_and(|parent| matches!(parent.kind, Kind::Map { flow: false, .. }));
                match key.filter(|_| in_block) {
                    Some(key) => self.below(key, node, trees),
                    None => self.edits.push((node.range.clone(), flow(trees, self.is_json()))),
                }
            }
        }
    }

    /// As lines below a key, in the place of a value that says nothing.
    fn below(&mut self, key: &Node, value: &Node, trees: &[Tree<'_>]) {
        if !value.range.is_empty() {
            // Without the space before it.
            let start =
                self.text.get(..value.range.start).map_or(0, |before| before.trim_end_matches(' ').len());
            self.edits.push((start..value.range.end, String::new()));
        }
        let end = if value.range.is_empty() { key.end() } else { value.range.end };
        self.lines_after(end, self.column(key.range.start) + 2, trees);
    }

    /// Lines after that which has `at` in it.
    fn lines_after(&mut self, at: usize, column: usize, trees: &[Tree<'_>]) {
        let before = self.text.get(..at).unwrap_or_default();
        // A text in lines ends with the line break of its last one.
        let at = if before.ends_with('\n') { at - 1 } else { at };
        let rest = self.text.get(at..).unwrap_or_default();
        let (at, last) = match rest.find('\n') {
            Some(end) => (at + end + 1, false),
            None => (self.text.len(), true),
        };
        let line_break = self.line_break();
        let mut lines = String::new();
        block(trees, column, line_break, &mut lines);
        if last {
            lines = format!("{line_break}{}", lines.trim_end_matches(['\r', '\n']));
        }
        self.edits.push((at..at, lines));
    }

    /// Beside the last entry of a map in braces; on lines of their own where that is.
    fn beside(&mut self, node: &Node, entries: &[(Node, Node)], trees: &[Tree<'_>]) {
        let Some((key, _)) = entries.last() else { return };
        let end = entries.last().map_or(node.range.start, |(_, value)| value.end());
        let column = self.column(key.range.start);
        let before = self.text.get(..key.range.start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        let between = match line.trim().is_empty() && before.contains('\n') {
            true => format!(",{}{}", self.line_break(), " ".repeat(column)),
            false => ", ".to_owned(),
        };
        let is_json = self.is_json();
        let mut text = String::new();
        for tree in trees {
            text.push_str(&between);
            text.push_str(&entry(tree, is_json));
        }
        self.edits.push((end..end, text));
    }

    /// How far a byte is from the beginning of its line, in characters.
    fn column(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        before.rsplit('\n').next().unwrap_or_default().trim_start_matches('\u{feff}').chars().count()
    }

    fn line_break(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }

    /// Whether the text is JSON, which begins with a brace or a bracket. A manifest in braces that is not JSON reads the
    /// same with quotes.
    fn is_json(&self) -> bool {
        self.text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '['])
    }
}

/// What is put in.
enum Tree<'a> {
    Leaf(&'a str, &'a str),
    Branch(&'a str, Vec<Tree<'a>>),
}

fn block(trees: &[Tree<'_>], column: usize, line_break: &str, text: &mut String) {
    for tree in trees {
        let indent = " ".repeat(column);
        match tree {
            Tree::Leaf(key, value) => text.push_str(&format!("{indent}{key}: {}{line_break}", plain(value))),
            Tree::Branch(key, inner) => {
                text.push_str(&format!("{indent}{key}:{line_break}"));
                block(inner, column + 2, line_break, text);
            }
        }
    }
}

/// `1` would be a number: it is one amount all the same, but `1` and `"1"` differ for who compares texts.
fn plain(value: &str) -> String {
    let number = value.chars().all(|c| c.is_ascii_digit() || c == '.');
    if number { format!("\"{value}\"") } else { value.to_owned() }
}

fn flow(trees: &[Tree<'_>], json: bool) -> String {
    let entries: Vec<String> = trees.iter().map(|tree| entry(tree, json)).collect();
    format!("{{{}}}", entries.join(", "))
}

fn entry(tree: &Tree<'_>, json: bool) -> String {
    let quoted = |text: &str| if json { format!("\"{text}\"") } else { text.to_owned() };
    match tree {
        Tree::Leaf(key, value) if json => format!("{}: {}", quoted(key), quoted(value)),
        Tree::Leaf(key, value) => format!("{key}: {}", plain(value)),
        Tree::Branch(key, inner) => format!("{}: {}", quoted(key), flow(inner, json)),
    }
}

/// What a container's resources state.
struct Stated<'f> {
    resources: Option<&'f Node>,
}

impl<'f> Stated<'f> {
    /// Refuses what cannot be changed for sure.
    fn read(place: &Place<'f>, resources: Option<&'f Node>) -> Result<Self, Refused> {
        if place.shared {
            return Err((place.line, SHARED));
        }
        if place.holder.entry("<<").is_some() && resources.is_none() {
            return Err((place.line, MERGED));
        }
        let stated = Self { resources };
        let sections = ["requests", "limits"].map(|section| stated.section(section));
        for node in sections.into_iter().chain([resources]).flatten() {
            match &node.kind {
                Kind::Alias => return Err((node.line, SHARED)),
                _ if node.anchored => return Err((node.line, SHARED)),
                Kind::Map { .. } if node.entry("<<").is_some() => return Err((node.line, MERGED)),
                Kind::Map { .. } => {}
                _ if node.is_null() => {}
                _ => return Err((node.line, ODD)),
            }
        }
        Ok(stated)
    }

    fn section(&self, section: &str) -> Option<&'f Node> {
        self.resources?.get(section)
    }

    fn key_of(&self, section: &str) -> Option<&'f Node> {
        self.resources?.entry(section).map(|(key, _)| key)
    }

    fn node(&self, section: &str, resource: &str) -> Option<&'f Node> {
        self.section(section)?.get(resource)
    }

    fn amount(&self, section: &str, resource: &str) -> Result<Option<(Quantity, &'f str)>, Refused> {
        let Some(node) = self.node(section, resource) else { return Ok(None) };
        if node.anchored || matches!(node.kind, Kind::Alias) {
            return Err((node.line, SHARED));
        }
        let text = node.text().ok_or((node.line, "it is no amount"))?;
        let value = text.parse().map_err(|_| (node.line, "it is no amount that Kubernetes knows"))?;
        Ok(Some((value, text)))
    }
}

/// What is to be written for a resource where that differs.
fn written(
    resource: &'static str,
    amounts: &Amounts,
    request: Option<(Quantity, &str)>,
    limit: Option<(Quantity, &str)>,
) -> Vec<(&'static str, &'static str, String)> {
    let mut wanted = Vec::new();
    let mut add = |section, has: Option<(Quantity, &str)>, to: &Written| {
        if has.is_none_or(|(value, _)| value != to.value) {
            wanted.push((section, resource, to.text.clone()));
        }
    };
    if let Some(to) = &amounts.request {
        add("requests", request, to);
    }
    let stated = limit.is_some() || amounts.add_limit;
    // Kubernetes refuses a limit below the request.
    match (&amounts.limit, &amounts.request) {
        (Some(to), Some(least)) if stated && to.value < least.value => add("limits", limit, least),
        (Some(to), _) if stated => add("limits", limit, to),
        (None, Some(least)) if limit.is_some_and(|(value, _)| value < least.value) => {
            add("limits", limit, least);
        }
        _ => {}
    }
    wanted
}

fn name(section: &str, resource: &str) -> &'static str {
    match (section, resource) {
        ("requests", "cpu") => "cpu request",
        ("requests", _) => "memory request",
        (_, "cpu") => "cpu limit",
        _ => "memory limit",
    }
}
