//! Text that becomes a page: what is ours goes in as it is, what is not is escaped.

use std::fmt::{Arguments, Write};

/// A page in the making.
pub(in crate::report) struct Html {
    text: String,
    pictures: usize,
}

impl Html {
    /// Begins a page. Nothing but the style sheet inside it is ever loaded; the empty icon keeps browsers from asking for one.
    pub(in crate::report) fn page(title: &str) -> Self {
        let mut html = Self { text: String::new(), pictures: 0 };
        html.put(format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
             <link rel=\"icon\" href=\"data:,\"/>\n<title>"
        ));
        html.text(title);
        html.put(format_args!("</title>\n<style>\n{}</style>\n</head>\n<body>\n", include_str!("page.css")));
        html
    }

    /// Begins a page that a server sends, with the style sheet and the policy of what may be loaded beside it.
    pub(in crate::report) fn served(title: &str) -> Self {
        let mut html = Self { text: String::new(), pictures: 0 };
        html.put(format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <link rel=\"stylesheet\" href=\"/style.css\">\n<link rel=\"icon\" href=\"data:,\">\n<title>"
        ));
        html.text(title);
        html.put(format_args!("</title>\n</head>\n<body>\n"));
        html
    }

    /// Ends it.
    pub(in crate::report) fn end(mut self) -> String {
        self.text.push_str("</body>\n</html>\n");
        self.text
    }

    /// Our own markup.
    pub(in crate::report) fn put(&mut self, markup: Arguments<'_>) {
        // A string takes all that is written to it, and our own numbers and texts can be written.
        if self.text.write_fmt(markup).is_err() {
            self.text.push('\u{fffd}');
        }
    }

    /// Text from anywhere.
    pub(in crate::report) fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\'' => self.text.push_str("&#39;"),
                // Nothing that a terminal or a parser could take for a command, or that turns the text around it.
                c if (c.is_control() && c != '\n') || turns(c) => self.text.push('\u{fffd}'),
                c => self.text.push(c),
            }
        }
    }

    /// Begins a picture with this name and description, for who has it read out; `attributes` are our own.
    pub(in crate::report) fn picture(&mut self, attributes: &str, title: &str, description: &str) {
        let id = self.pictures;
        self.pictures += 1;
        self.put(format_args!(
            "<svg {attributes} role=\"img\" aria-labelledby=\"t{id} d{id}\"><title id=\"t{id}\">"
        ));
        self.text(title);
        self.put(format_args!("</title><desc id=\"d{id}\">"));
        self.text(description);
        self.put(format_args!("</desc>\n"));
    }
}

/// Whether this character sets the direction of the text after it.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
