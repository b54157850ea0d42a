//! Text that becomes a page: what is ours goes in as it is, what is not is escaped.

use std::fmt::{Arguments, Write};

/// How many arms have a look of their own; more share.
const STYLES: usize = 6;

/// The look of the arm at this place: which of the style sheet's classes it has.
pub(super) fn style(arm: usize) -> usize {
    arm % STYLES
}

/// A page in the making.
pub(in crate::report) struct Html(String);

impl Html {
    /// Begins a page.
    pub(in crate::report) fn page(title: &str) -> Self {
        let mut html = Self(String::new());
        html.put(format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>"
        ));
        html.text(title);
        html.put(format_args!("</title>\n<style>\n{}</style>\n</head>\n<body>\n", include_str!("page.css")));
        html
    }

    /// Ends it.
    pub(in crate::report) fn end(mut self) -> String {
        self.0.push_str("</body>\n</html>\n");
        self.0
    }

    /// Our own markup.
    pub(in crate::report) fn put(&mut self, markup: Arguments<'_>) {
        // A string takes all that is written to it, and our own numbers and texts can be written.
        if self.0.write_fmt(markup).is_err() {
            self.0.push('\u{fffd}');
        }
    }

    /// Text from anywhere.
    pub(in crate::report) fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Nothing that a terminal or a parser could take for a command.
                c if c.is_control() && c != '\n' => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
    }
}
