//! Recommendations as rows of a table: the columns that their definition has, one of which says all sizes in one line. To
//! write ten thousand of them takes the API server a fraction of what it takes to write them whole.
//!
//! Pure. A row becomes an object with what new pods are judged by; where a row does not say that, the object is named,
//! so that it can be asked for.

use serde::Deserialize;
use serde_json::{Value, json};

use super::listed::{BEGIN, END, Listed, NoList};
use crate::api::{Given, Mode, short};

/// What is read of a row, by the names of the columns.
const COLUMNS: [&str; 9] = [
    "Name",
    "Workload Namespace",
    "Mode",
    "API Version",
    "Kind",
    "Workload",
    "New Pods",
    "Rollback",
    "Sizes",
];
/// So many are asked for one by one; if there are more, a list of whole objects is the shorter way.
const MOST_INCOMPLETE: usize = 200;

/// A table's text, as it comes in.
#[derive(Debug, Default)]
pub(super) struct Rows {
    listed: Listed,
    /// A line that has not come in whole yet.
    begun: Vec<u8>,
    /// Where in a row the columns are.
    places: Option<Places>,
    incomplete: usize,
    end: Vec<u8>,
}

type Places = [usize; COLUMNS.len()];

/// An object that is to be asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Incomplete {
    pub(super) namespace: String,
    pub(super) name: String,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

#[derive(Deserialize)]
struct Row {
    cells: Vec<Value>,
}

impl Rows {
    /// True once the table's last bracket was read.
    pub(super) fn is_whole(&self) -> bool {
        self.listed.is_whole()
    }

    /// The line that says that this was all; empty until it is so. It comes after what was asked for.
    pub(super) fn end(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.end)
    }

    /// Reads on. Writes a line for each row that says all, and answers the others.
    pub(super) fn read(&mut self, text: &[u8], lines: &mut Vec<u8>) -> Result<Vec<Incomplete>, NoList> {
        let mut incomplete = Vec::new();
        let mut begun = std::mem::take(&mut self.begun);
        self.listed.read(text, &mut begun)?;
        let mut rest = begun.as_slice();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            let Some(row) = line.strip_prefix(BEGIN).and_then(|line| line.strip_suffix(END)) else {
                self.end = line.to_vec();
                continue;
            };
            let places = match self.places {
                Some(places) => places,
                None => *self.places.insert(places(self.listed.columns())?),
            };
            let row: Row = serde_json::from_slice(row).map_err(|_| NoList::Shape)?;
            let cells = places.map(|place| row.cells.get(place).and_then(Value::as_str));
            let [Some(name), Some(namespace), ..] = cells else { return Err(NoList::Shape) };
            if let Some(object) = object(cells) {
                lines.extend_from_slice(BEGIN);
                lines.extend_from_slice(object.to_string().as_bytes());
                lines.extend_from_slice(END);
            } else {
                incomplete.push(Incomplete { namespace: namespace.to_owned(), name: name.to_owned() });
            }
        }
        self.incomplete += incomplete.len();
        if self.incomplete > MOST_INCOMPLETE {
            return Err(NoList::Incomplete(self.incomplete));
        }
        self.begun = rest.to_vec();
        Ok(incomplete)
    }
}

fn places(columns: &[u8]) -> Result<Places, NoList> {
    let columns: Vec<Column> = serde_json::from_slice(columns).map_err(|_| NoList::Shape)?;
    let mut places = [0; COLUMNS.len()];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        let found = columns.iter().position(|column| column.name == name);
        *place = found.ok_or(NoList::Column(name))?;
    }
    Ok(places)
}

/// The row as an object; `None` where it does not say what new pods are given.
fn object(cells: [Option<&str>; COLUMNS.len()]) -> Option<Value> {
    let [name, namespace, mode, api_version, kind, workload, given, rollback, sizes] = cells;
    let mode: Mode = short::named(mode?)?;
    let given: Given = given.map_or(Some(Given::default()), short::named)?;
    // Nobody is stamped by the others, whatever they say.
    let stamps = mode == Mode::Auto && given != Given::Nothing;
    if stamps && (given == Given::Previous || rollback.is_some()) {
        return None;
    }
    let containers = if stamps { short::read(sizes?)? } else { Vec::new() };
    Some(json!({
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"mode": mode, "workloadRef": {"apiVersion": api_version?, "kind": kind?, "name": workload?}},
        "status": {"containers": containers, "newPods": {"given": given}},
    }))
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;

    use super::*;
    use crate::api::{ROLLBACK, Recommendation};
    use crate::cluster::index::{Fold, Index, Sizing};
    use crate::cluster::slim::Stampable;
    use crate::testing::{self, NAMESPACE, object_key, recommended};
    use crate::units::Timestamp;

    /// As the API server makes it of the definition's columns.
    fn table(objects: &[Value]) -> Value {
        let definition = Recommendation::crd().spec.versions.remove(0);
        let columns = definition.additional_printer_columns.unwrap();
        let rollback = format!(".metadata.annotations.{}", ROLLBACK.replacen('.', r"\.", 1));
        let cell = |object: &Value, path: &str| match path == rollback {
            true => object["metadata"]["annotations"].get(ROLLBACK).cloned(),
            false => object.pointer(&path.replace('.', "/")).cloned(),
        };
        let rows: Vec<Value> = objects
            .iter()
            .map(|object| {
                let own = columns.iter().map(|column| cell(object, &column.json_path).unwrap_or_default());
                let cells: Vec<Value> =
                    std::iter::once(object["metadata"]["name"].clone()).chain(own).collect();
                json!({"cells": cells, "object": null})
            })
            .collect();
        let names =
            columns.iter().map(|column| json!({"name": column.name, "description": "a [ and a \" {"}));
        let names: Vec<Value> = std::iter::once(json!({"name": "Name"})).chain(names).collect();
        json!({"kind": "Table", "metadata": {"resourceVersion": "42"}, "columnDefinitions": names, "rows": rows})
    }

    fn recommendation(name: &str, mode: &str, status: &Value) -> Value {
        let app = recommended("app")
            .target("180m", "300Mi", "400Mi")
            .lower("1m", "1Mi")
            .with("/limitRules/cpu", "Remove")
            .with("/limitRules/memory", "Headroom")
            .with("/limitRules/headroom", "256Mi")
            .with("/learning", true)
            .startup_boost("540m", "60s");
        let mut object = testing::recommendation("web")
            .named(name)
            .namespace(NAMESPACE)
            .mode(mode)
            .containers([app.clone()])
            .with("/metadata/managedFields", json!([{}]))
            .with("/status/sizes", short::write(&[app.object()]))
            .with("/status/summary/message", "}]\n")
            .json();
        for (key, value) in status.as_object().into_iter().flatten() {
            object["status"][key] = value.clone();
        }
        object
    }

    fn read(text: &str, length: usize) -> Result<(Vec<Value>, Vec<Incomplete>), NoList> {
        let (mut rows, mut lines, mut incomplete) = (Rows::default(), Vec::new(), Vec::new());
        for piece in text.as_bytes().chunks(length) {
            incomplete.extend(rows.read(piece, &mut lines)?);
        }
        assert!(rows.is_whole());
        let end = String::from_utf8(rows.end()).unwrap();
        assert!(end.contains("initial-events-end") && end.contains("42"), "{end}");
        let lines = String::from_utf8(lines).unwrap();
        Ok((lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), incomplete))
    }

    fn kept(object: &Value) -> Sizing {
        let mut index = Index::default();
        index.apply(serde_json::from_str::<Stampable>(&object.to_string()).unwrap(), Timestamp(0));
        let name = object["metadata"]["name"].as_str().unwrap();
        index.sizings.get(&object_key(name)).unwrap().clone()
    }

    #[test]
    fn a_row_says_of_new_pods_what_the_object_says() {
        let target = json!({"newPods": {"given": "Target", "since": "2026-11-23T20:22:25Z"}});
        let objects = [recommendation("a", "Auto", &json!({})), recommendation("b", "Auto", &target)];
        let text = table(&objects).to_string();
        for length in [1, 7, 100, text.len()] {
            let (lines, incomplete) = read(&text, length).unwrap();
            assert_eq!((lines.len(), incomplete), (2, Vec::new()));
            for (line, object) in lines.iter().zip(&objects) {
                assert_eq!(line["type"], "ADDED");
                assert_eq!(kept(&line["object"]), kept(object));
            }
        }
    }

    #[test]
    fn what_stamps_nothing_needs_no_sizes() {
        let nothing = json!({"newPods": {"given": "Nothing"}, "sizes": null});
        let objects = [
            recommendation("a", "Recommend", &json!({"sizes": null})),
            recommendation("b", "Auto", &nothing),
        ];
        let (lines, incomplete) = read(&table(&objects).to_string(), 64).unwrap();
        assert_eq!((lines.len(), incomplete.len()), (2, 0));
        let (first, second) = (kept(&lines[0]["object"]), kept(&lines[1]["object"]));
        assert_eq!((first.mode, second.given(Timestamp(0))), (Mode::Recommend, Given::Nothing));
    }

    #[test]
    fn a_row_that_does_not_say_all_is_asked_for() {
        let mut asked = recommendation("asked", "Auto", &json!({}));
        asked["metadata"]["annotations"] = json!({ROLLBACK: "{}"});
        let objects = [
            recommendation("old", "Auto", &json!({"sizes": null})),
            recommendation("newer", "Auto", &json!({"sizes": "app gpu=1"})),
            recommendation("back", "Auto", &json!({"newPods": {"given": "Previous"}})),
            recommendation("later", "Auto", &json!({"newPods": {"given": "Elsewhere"}})),
            asked,
        ];
        let (lines, incomplete) = read(&table(&objects).to_string(), 64).unwrap();
        assert!(lines.is_empty());
        let names: Vec<&str> = incomplete.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["old", "newer", "back", "later", "asked"]);
        let many = vec![objects[0].clone(); MOST_INCOMPLETE + 1];
        assert!(matches!(read(&table(&many).to_string(), 4096), Err(NoList::Incomplete(_))));
    }

    #[test]
    fn another_definition_is_told() {
        let mut older = table(&[recommendation("a", "Auto", &json!({}))]);
        older["columnDefinitions"].as_array_mut().unwrap().pop();
        assert!(matches!(read(&older.to_string(), 64), Err(NoList::Column("Sizes"))));
        let bare = r#"{"metadata":{"resourceVersion":"1"},"rows":[{}]}"#;
        assert!(matches!(read(bare, 64), Err(NoList::Shape)));
    }
}
