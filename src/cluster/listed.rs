//! The text of a list, cut into the lines of a watch as it comes in: the objects are handed on as they are, unread. Of a
//! table that the API server has made of a list, the rows.
//!
//! Pure. Knows JSON as far as its brackets and strings; whether an object is one is for who reads it.

use serde::Deserialize;
use serde_json::json;

/// What a watch says before an object that is there.
pub(super) const BEGIN: &[u8] = br#"{"type":"ADDED","object":"#;
/// And after it.
pub(super) const END: &[u8] = b"}\n";
/// No list's own metadata is longer, nor what is said of a table's columns.
const MOST_METADATA: usize = 64 << 10;
/// Nor any name that is of interest.
const MOST_NAME: usize = 20;

/// The text is no list.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoList {
    /// It is something else.
    #[error("the answer is no list of objects")]
    Shape,
    /// It does not say as of when it is.
    #[error("the list has no resourceVersion")]
    NoVersion,
    /// More would have to be asked for.
    #[error("the list is a part of what there is only")]
    Part,
    /// The kind is not defined as it is here.
    #[error("the table has no column {0}: the custom resource definition is of another version")]
    Column(&'static str),
    /// Too many rows do not say all.
    #[error("{0} rows of the table do not say all")]
    Incomplete(usize),
}

/// Where in a list's text we are.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Open brackets.
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The last string between the outermost brackets: a member's name, when its value begins.
    word: Vec<u8>,
    within: Within,
    metadata: Vec<u8>,
    columns: Vec<u8>,
    ended: bool,
}

/// Of which of the list's members the text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Other,
    Items,
    Metadata,
    Columns,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    more: String,
}

impl Listed {
    /// True once the list's last bracket was read.
    pub(super) fn is_whole(&self) -> bool {
        self.ended
    }

    /// What a table says of its columns, which it does before the first row.
    pub(super) fn columns(&self) -> &[u8] {
        &self.columns
    }

    /// Reads on. Writes a line for each object, and at the list's end the one that says that this was all.
    pub(super) fn read(&mut self, text: &[u8], lines: &mut Vec<u8>) -> Result<(), NoList> {
        // Where in the text begins what is to be handed on; what came before has been.
        let mut from = 0;
        let mut next = 0;
        while let Some(&byte) = text.get(next) {
            let place = next;
            next += 1;
            if self.in_string {
                next = place + self.string(text.get(place..).unwrap_or_default());
                continue;
            }
            match byte {
                b'"' if self.depth > 0 => {
                    self.in_string = true;
                    if self.depth == 1 {
                        self.word.clear();
                    }
                }
                b'{' | b'[' => {
                    self.open(byte)?;
                    if self.is_item() {
                        lines.extend_from_slice(BEGIN);
                        from = place;
                    } else if self.is_kept() && self.depth == 2 {
                        from = place;
                    }
                }
                b'}' | b']' => {
                    if self.is_item() {
                        hand_on(text.get(from..=place).unwrap_or_default(), lines);
                        lines.extend_from_slice(END);
                    } else if self.is_kept() && self.depth == 2 {
                        self.keep(text.get(from..=place).unwrap_or_default())?;
                    }
                    self.close(lines)?;
                }
                _ if self.depth == 0 && !byte.is_ascii_whitespace() => return Err(NoList::Shape),
                _ => {}
            }
        }
        let rest = text.get(from..).unwrap_or_default();
        match self.within {
            Within::Items if self.depth > 2 => hand_on(rest, lines),
            _ if self.is_kept() && self.depth > 1 => self.keep(rest)?,
            _ => {}
        }
        Ok(())
    }

    /// An object of the list has just begun, or is about to end.
    fn is_item(&self) -> bool {
        self.within == Within::Items && self.depth == 3
    }

    /// It is small, and looked at at the end.
    fn is_kept(&self) -> bool {
        matches!(self.within, Within::Metadata | Within::Columns)
    }

    /// Reads on in a string, up to what may end it; answers how far that is.
    fn string(&mut self, text: &[u8]) -> usize {
        if self.escaped {
            self.escaped = false;
            return 1;
        }
        let found = memchr::memchr2(b'"', b'\\', text);
        let plain = text.get(..found.unwrap_or(text.len())).unwrap_or_default();
        if self.depth == 1 {
            let room = MOST_NAME.saturating_sub(self.word.len());
            self.word.extend(plain.iter().take(room));
        }
        match found.and_then(|found| text.get(found)) {
            Some(b'\\') => self.escaped = true,
            Some(_) => self.in_string = false,
            None => return text.len(),
        }
        plain.len() + 1
    }

    fn open(&mut self, byte: u8) -> Result<(), NoList> {
        if self.depth == 0 && (byte != b'{' || self.ended) {
            return Err(NoList::Shape);
        }
        if self.depth == 1 {
            self.within = match (self.word.as_slice(), byte) {
                (b"items" | b"rows", b'[') => Within::Items,
                (b"metadata", b'{') => Within::Metadata,
                (b"columnDefinitions", b'[') => Within::Columns,
                (b"items" | b"rows" | b"metadata" | b"columnDefinitions", _) => return Err(NoList::Shape),
                _ => Within::Other,
            };
        }
        if self.within == Within::Items && self.depth == 2 && byte != b'{' {
            return Err(NoList::Shape);
        }
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self, lines: &mut Vec<u8>) -> Result<(), NoList> {
        self.depth = self.depth.checked_sub(1).ok_or(NoList::Shape)?;
        match self.depth {
            0 => {
                self.ended = true;
                self.last_line(lines)
            }
            1 => {
                self.within = Within::Other;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn keep(&mut self, text: &[u8]) -> Result<(), NoList> {
        let kept = if self.within == Within::Columns { &mut self.columns } else { &mut self.metadata };
        if kept.len() + text.len() > MOST_METADATA {
            return Err(NoList::Shape);
        }
        kept.extend_from_slice(text);
        Ok(())
    }

    /// What a watch says when it has told everything that there is.
    fn last_line(&self, lines: &mut Vec<u8>) -> Result<(), NoList> {
        let metadata: Metadata = serde_json::from_slice(&self.metadata).map_err(|_| NoList::NoVersion)?;
        if metadata.resource_version.is_empty() {
            return Err(NoList::NoVersion);
        }
        if !metadata.more.is_empty() {
            return Err(NoList::Part);
        }
        let annotations = json!({"k8s.io/initial-events-end": "true"});
        let about = json!({"resourceVersion": metadata.resource_version, "annotations": annotations});
        let object = json!({"apiVersion": "v1", "kind": "Bookmark", "metadata": about});
        lines.extend_from_slice(json!({"type": "BOOKMARK", "object": object}).to_string().as_bytes());
        lines.push(b'\n');
        Ok(())
    }
}

/// A part of an object, on one line. Strings have no line breaks in them, and elsewhere they are of no meaning.
fn hand_on(text: &[u8], lines: &mut Vec<u8>) {
    let begin = lines.len();
    lines.extend_from_slice(text);
    for byte in lines.iter_mut().skip(begin) {
        if *byte == b'\n' {
            *byte = b' ';
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The lines, where the text comes in pieces of that length.
    fn cut(text: &str, length: usize) -> Result<Vec<Value>, NoList> {
        let (mut listed, mut lines) = (Listed::default(), Vec::new());
        for piece in text.as_bytes().chunks(length) {
            listed.read(piece, &mut lines)?;
        }
        assert!(listed.is_whole());
        let lines = String::from_utf8(lines).unwrap();
        Ok(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    fn objects(lines: &[Value]) -> Vec<&Value> {
        let (last, objects) = lines.split_last().unwrap();
        assert_eq!(last["type"], "BOOKMARK");
        assert_eq!(last["object"]["metadata"]["resourceVersion"], "42");
        let end: kube::core::WatchEvent<k8s_openapi::api::core::v1::Pod> =
            serde_json::from_value(last.clone()).unwrap();
        assert!(matches!(end, kube::core::WatchEvent::Bookmark(_)), "as the watcher reads it");
        objects.iter().inspect(|line| assert_eq!(line["type"], "ADDED")).map(|line| &line["object"]).collect()
    }

    #[test]
    fn objects_are_handed_on_as_they_are_wherever_the_text_is_cut() {
        let items =
            json!([{"metadata": {"name": "a\"}]\\", "items": [{}]}, "spec": [[]]}, {}, {"é": "\u{1F600}{"}]);
        // As built-in kinds are written, and as custom ones are, whose members come by name.
        let built_in = format!(
            r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"42"}},"items":{items}}}"#
        );
        let custom = format!(
            r#"{{"apiVersion":"a/v1","items":{items},"kind":"items","metadata":{{"continue":"","resourceVersion":"42"}}}}"#
        );
        // As one is written for a person.
        let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&custom).unwrap()).unwrap();
        for text in [built_in, custom + "\n", pretty] {
            for length in 1..text.len() {
                let lines = cut(&text, length).unwrap();
                assert_eq!(objects(&lines), items.as_array().unwrap().iter().collect::<Vec<_>>());
            }
        }
        for none in ["[]", "null"] {
            let text = format!(r#"{{"items":{none},"metadata":{{"resourceVersion":"42"}}}}"#);
            assert!(objects(&cut(&text, 5).unwrap()).is_empty());
        }
    }

    #[test]
    fn what_is_no_whole_list_is_said_so() {
        for text in ["[]", "7", "\"x\"", r#"{"items":{}}"#, r#"{"items":[[]]}"#, r#"{"metadata":[]}"#, "{}}"]
        {
            let mut listed = Listed::default();
            assert!(listed.read(text.as_bytes(), &mut Vec::new()).is_err(), "{text}");
        }
        let read = |text: &str| Listed::default().read(text.as_bytes(), &mut Vec::new());
        assert!(matches!(read(r#"{"items":[]}"#), Err(NoList::NoVersion)));
        assert!(matches!(read(r#"{"items":[],"metadata":{}}"#), Err(NoList::NoVersion)));
        let part = r#"{"items":[],"metadata":{"resourceVersion":"1","continue":"x"}}"#;
        assert!(matches!(read(part), Err(NoList::Part)));
        let long = format!(r#"{{"metadata":{{"x":"{}"#, "y".repeat(MOST_METADATA));
        assert!(matches!(read(&long), Err(NoList::Shape)), "nothing is collected without end");
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes: Vec<u8>, length in 1_usize..9) {
            let (mut listed, mut lines) = (Listed::default(), Vec::new());
            for piece in bytes.chunks(length) {
                if listed.read(piece, &mut lines).is_err() {
                    break;
                }
            }
        }

        #[test]
        fn nothing_but_brackets_and_strings_does_harm(text in r#"[{}\[\]":,a\\]{0,60}"#) {
            let mut listed = Listed::default();
            drop(listed.read(text.as_bytes(), &mut Vec::new()));
        }
    }
}
