//! Text of a page: what comes from outside is escaped, and figures are written alike everywhere.

use std::fmt::Write as _;

use crate::units::MIB;

/// Text for the inside of an element or of a quoted attribute. Control characters, which no page may hold, are shown as `\u{1b}`.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() || is_bidi(c) => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    safe
}

/// Marks that turn the direction of what follows, with which a name could look like another.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A share as per cent; a dash where it is not known.
pub(super) fn percent(share: Option<f64>, decimals: usize) -> String {
    share.map_or_else(dash, |share| format!("{:.decimals$}\u{202f}%", share * 100.0))
}

pub(super) fn number(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| format!("{value:.2}"))
}

pub(super) fn dash() -> String {
    "–".to_owned()
}

/// `1 container`, `2 containers`; with thin spaces between thousands.
pub(super) fn count(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {what}{plural}", thousands(n))
}

/// Digits in groups of three.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Seconds in words: `5 min`, `24 h`, `14 days`.
pub(super) fn span(seconds: i64) -> String {
    match seconds {
        s if s >= 172_800 && s % 86_400 == 0 => format!("{} days", s / 86_400),
        s if s >= 3600 && s % 3600 == 0 => format!("{} h", s / 3600),
        s if s >= 60 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// A resource on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Cores,
    Bytes,
}

impl Unit {
    /// For a script that writes the same.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::Bytes => "bytes",
        }
    }

    /// What a whole unit of the axis is, for values up to `max`, and how it is written.
    pub(super) fn step(self, max: f64) -> (f64, &'static str) {
        let mib = MIB as f64;
        match self {
            Self::Cores if max < 1.0 => (0.001, "m"),
            Self::Cores => (1.0, ""),
            Self::Bytes if max < mib => (1024.0, "Ki"),
            Self::Bytes if max < 1024.0 * mib => (mib, "Mi"),
            Self::Bytes if max < 1024.0 * 1024.0 * mib => (1024.0 * mib, "Gi"),
            Self::Bytes => (1024.0 * 1024.0 * mib, "Ti"),
        }
    }

    /// Three figures at most, in the largest unit that leaves a whole number before the point.
    pub(super) fn write(self, value: f64) -> String {
        let (unit, suffix) = self.step(value);
        format!("{}{suffix}", short(value / unit))
    }
}

/// Three figures, no zeros after the point.
pub(super) fn short(value: f64) -> String {
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    let mut text = String::new();
    // Writing to a String cannot fail.
    write!(text, "{value:.decimals$}").ok();
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_tricks_lose_their_meaning() {
        assert_eq!(
            escape("<script>&\"'\u{1b}[2J\u{202e}é"),
            "&lt;script&gt;&amp;&quot;&#39;\\u{1b}[2J\\u{202e}é"
        );
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(Unit::Cores.write(0.18), "180m");
        assert_eq!(Unit::Cores.write(2.0), "2");
        assert_eq!(Unit::Bytes.write(432_013_312.0), "412Mi");
        assert_eq!(Unit::Bytes.write(1.5 * 1_073_741_824.0), "1.5Gi");
        assert_eq!(short(0.0), "0");
        assert_eq!(thousands(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(span(300), "5 min");
        assert_eq!(span(86_400), "24 h");
        assert_eq!(span(1_209_600), "14 days");
    }
}
