//! How arms look: each keeps one colour, dash and marker over the whole page.
//!
//! The colours are those of Okabe and Ito (2008), told apart by most who see colours differently; shapes and dashes tell
//! the arms apart without any.

use crate::replay::outcome::Outcome;

/// Looks that there are; style.css holds the colours and dashes.
const LOOKS: usize = 8;

/// The looks of the arms of a page.
#[derive(Clone, Debug)]
pub(super) struct Palette {
    arms: Vec<(String, usize)>,
}

impl Palette {
    /// Known arms look the same on every page; others take what is free.
    pub(super) fn of(outcomes: &[Outcome]) -> Self {
        const KNOWN: [&str; 7] = ["plumb", "vpa", "krr", "window", "fixed", "vpa0", "krr0"];
        let mut arms: Vec<(String, usize)> = Vec::new();
        let names = || outcomes.iter().flat_map(|outcome| &outcome.arms).map(|arm| arm.name.as_str());
        for (look, known) in KNOWN.iter().enumerate() {
            if names().any(|name| name == *known) {
                arms.push(((*known).to_owned(), look));
            }
        }
        for name in names() {
            if arms.iter().all(|(known, _)| known != name) {
                let free = (0..LOOKS).find(|look| arms.iter().all(|(_, taken)| taken != look));
                arms.push((name.to_owned(), free.unwrap_or(arms.len() % LOOKS)));
            }
        }
        Self { arms }
    }

    /// Each arm with its look.
    pub(super) fn arms(&self) -> impl Iterator<Item = (&str, usize)> {
        self.arms.iter().map(|(name, look)| (name.as_str(), *look))
    }

    /// The look of the arm.
    pub(super) fn look(&self, name: &str) -> usize {
        self.arms.iter().find(|(known, _)| known == name).map_or(LOOKS - 1, |(_, look)| *look)
    }
}

/// The marker of a look, around this point.
pub(super) fn marker(look: usize, x: f64, y: f64) -> String {
    let shape = match look {
        0 => return format!("<circle class=\"mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"/>"),
        1 => "m-5.2-5.2h10.4v10.4h-10.4z",
        2 => "m0-6.6l6.4 11.4h-12.8z",
        3 => "m0-7l7 7l-7 7l-7-7z",
        4 => "m-6-2.2h3.8v-3.8h4.4v3.8h3.8v4.4h-3.8v3.8h-4.4v-3.8h-3.8z",
        5 => "m0 6.6l6.4-11.4h-12.8z",
        6 => "m-3-6h6l3 6l-3 6h-6l-3-6z",
        _ => "m0-7l2 5h5l-4 3.4l1.6 5.2l-4.6-3l-4.6 3l1.6-5.2l-4-3.4h5z",
    };
    format!("<path class=\"mark\" d=\"M{x:.1} {y:.1}{shape}\"/>")
}

/// An arm's marker and a piece of its line, for a legend. Says nothing to a screen reader: the name stands beside it.
pub(super) fn key(look: usize) -> String {
    format!(
        "<svg class=\"key a{look}\" viewBox=\"0 0 40 16\" width=\"40\" height=\"16\" aria-hidden=\"true\">\
         <path class=\"req\" d=\"M0 8H40\"/>{}</svg>",
        marker(look, 20.0, 8.0)
    )
}
