//! The look of each sizer: a colour, a dash and a mark, so that none has to be told by colour alone.

use super::html::Html;

/// How many arms have a look of their own; more share.
const LOOKS: usize = 10;

/// The look of the arm at this place: which of the style sheet's classes and of the marks it has.
pub(super) fn look(arm: usize) -> usize {
    arm % LOOKS
}

/// The marks around 0,0 in the order of the looks.
const MARKS: [&str; LOOKS] = [
    "<circle r=\"5.5\"/>",
    "<path d=\"M-5-5h10v10h-10z\"/>",
    "<path d=\"M0-6l6 11h-12z\"/>",
    "<path d=\"M0-6.5l6.5 6.5l-6.5 6.5l-6.5-6.5z\"/>",
    "<path d=\"M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z\"/>",
    "<path d=\"M0 6l6-11h-12z\"/>",
    "<path d=\"M-6-3.2l2.8-2.8l3.2 3.2l3.2-3.2l2.8 2.8l-3.2 3.2l3.2 3.2l-2.8 2.8l-3.2-3.2l-3.2 3.2l-2.8-2.8l3.2-3.2z\"/>",
    "<path d=\"M0-7l1.8 4.9l5.2 .1l-4.1 3.2l1.4 5l-4.3-2.9l-4.3 2.9l1.4-5l-4.1-3.2l5.2-.1z\"/>",
    "<path d=\"M0-6a6 6 0 1 0 .01 0zM0-2.5a2.5 2.5 0 1 1-.01 0z\"/>",
    "<path d=\"M-5.5-5.5h11v11h-11zM-2-2v4h4v-4z\"/>",
];

/// Defines the marks once for the whole page.
pub(super) fn define(html: &mut Html) {
    html.put(format_args!("<svg class=\"defs\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>\n"));
    for (look, mark) in MARKS.iter().enumerate() {
        html.put(format_args!("<g id=\"m{look}\" class=\"mark\">{mark}</g>\n"));
    }
    html.put(format_args!("</defs></svg>\n"));
}

/// An arm's mark at a point.
pub(super) fn mark(html: &mut Html, arm: usize, x: f64, y: f64) {
    html.put(format_args!("<use href=\"#m{}\" x=\"{x:.1}\" y=\"{y:.1}\"/>", look(arm)));
}

/// An arm's mark beside its name in running text.
pub(super) fn badge(html: &mut Html, arm: usize) {
    html.put(format_args!(
        "<svg class=\"badge a{}\" width=\"16\" height=\"16\" aria-hidden=\"true\">",
        look(arm)
    ));
    mark(html, arm, 8.0, 8.0);
    html.put(format_args!("</svg>"));
}

/// An arm's line and mark, for a legend.
pub(super) fn sample(html: &mut Html, arm: usize) {
    html.put(format_args!(
        "<svg class=\"a{}\" width=\"38\" height=\"16\" aria-hidden=\"true\"><path class=\"line\" d=\"M1 8H37\"/>",
        look(arm)
    ));
    mark(html, arm, 19.0, 8.0);
    html.put(format_args!("</svg>"));
}
