//! Paths in a square of 1000 by 1000 whole units: fine enough for any screen, and short to write.

use std::fmt::Arguments;

use super::sample::{Span, Stretch};

const UNITS: f64 = 1000.0;

/// Turns stretches of time into paths.
pub(super) struct Path<X, Y> {
    x: X,
    y: Y,
    text: String,
    at: (i32, i32),
}

#[expect(clippy::cast_possible_truncation, reason = "a share of 1000 units")]
fn units(share: f64) -> i32 {
    (share * UNITS).round() as i32
}

impl<X: Fn(i64) -> f64, Y: Fn(f64) -> f64> Path<X, Y> {
    /// `x` and `y` place a time and an amount in 0..1.
    pub(super) fn new(x: X, y: Y) -> Self {
        Self { x, y, text: String::new(), at: (0, 0) }
    }

    fn write(&mut self, part: Arguments<'_>) {
        self.text.push_str(&part.to_string());
    }

    fn start(&mut self, x: i32, y: i32) {
        self.at = (x, y);
        self.write(format_args!("M{x} {y}"));
    }

    fn line(&mut self, x: i32, y: i32) {
        let (dx, dy) = (x - self.at.0, y - self.at.1);
        match (dx, dy) {
            (0, 0) => return,
            (_, 0) => self.write(format_args!("h{dx}")),
            (0, _) => self.write(format_args!("v{dy}")),
            _ => self.write(format_args!("l{dx} {dy}")),
        }
        self.at = (x, y);
    }

    /// The area from 0 up to `value` of each stretch; open where nothing was known.
    pub(super) fn area(mut self, stretches: &[Stretch], value: impl Fn(&Span) -> f64) -> String {
        let floor = units((self.y)(0.0));
        let mut drawing = false;
        for stretch in stretches {
            let x = units((self.x)(stretch.from));
            if drawing && (stretch.after_gap || stretch.value.is_none()) {
                self.line(self.at.0, floor);
                self.text.push('Z');
                drawing = false;
            }
            let Some(span) = &stretch.value else { continue };
            let y = units((self.y)(value(span)));
            if !drawing {
                self.start(x, floor);
            }
            drawing = true;
            self.line(x, y);
        }
        if drawing {
            self.line(self.at.0, floor);
            self.text.push('Z');
        }
        self.text
    }

    /// A line in steps that lasts until `end`. What changed more than once within a stretch is drawn from its least to its largest value.
    pub(super) fn steps(mut self, stretches: &[Stretch], end: i64) -> String {
        let mut drawing = false;
        for stretch in stretches {
            let x = units((self.x)(stretch.from));
            let Some(span) = stretch.value else {
                if drawing {
                    self.line(x, self.at.1);
                }
                drawing = false;
                continue;
            };
            let [min, max, last] = [span.min, span.max, span.last].map(|value| units((self.y)(value)));
            if !drawing {
                self.start(x, last);
                drawing = true;
            } else if (min, max, last) == (self.at.1, self.at.1, self.at.1) {
                continue;
            } else {
                self.line(x, self.at.1);
            }
            for y in [min, max, last] {
                self.line(x, y);
            }
        }
        if drawing {
            let end = units((self.x)(end));
            self.line(end, self.at.1);
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(from: i64, value: Option<(f64, f64, f64)>) -> Stretch {
        Stretch { from, value: value.map(|(min, max, last)| Span { min, max, last }), after_gap: false }
    }

    fn path() -> Path<impl Fn(i64) -> f64, impl Fn(f64) -> f64> {
        Path::new(|at| at as f64 / 10.0, |value| 1.0 - value)
    }

    #[test]
    fn steps_have_a_point_where_something_changes_only() {
        let flat = |from, value| stretch(from, Some((value, value, value)));
        let line = path().steps(&[flat(0, 0.5), flat(1, 0.5), flat(2, 0.5), flat(3, 0.7), flat(4, 0.7)], 10);
        assert_eq!(line, "M0 500h300v-200h700");
        let line = path().steps(&[flat(0, 0.5), stretch(5, Some((0.2, 0.9, 0.6))), flat(6, 0.6)], 10);
        assert_eq!(line, "M0 500h500v300v-700v300h500");
    }

    #[test]
    fn what_is_unknown_is_left_open() {
        let known = Some((0.5, 0.5, 0.5));
        let stretches =
            [stretch(0, known), stretch(2, known), stretch(4, None), stretch(6, known), stretch(8, known)];
        assert_eq!(path().area(&stretches, |span| span.max), "M0 1000v-500h200v500ZM600 1000v-500h200v500Z");
        assert_eq!(path().steps(&stretches, 10), "M0 500h400M600 500h400");
    }
}
