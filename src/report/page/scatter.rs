//! The trade that each sizer makes, as a picture: what is left over against what goes wrong. Nearer to the corner is better.

use super::axis;
use super::html::Html;
use super::look::{look, mark};
use crate::replay::outcome::Outcome;
use crate::replay::score::Figures;

pub(super) const WIDTH: f64 = 340.0;
pub(super) const HEIGHT: f64 = 270.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 40.0;
/// Width of a letter and height of a line, roughly.
const LETTER: f64 = 7.9;
const LINE: f64 = 13.0;

/// One arm's place, in the figures' own units.
struct Place<'a> {
    arm: usize,
    name: &'a str,
    x: f64,
    y: f64,
}

/// What is drawn.
struct Trade {
    title: &'static str,
    note: &'static str,
    x: &'static str,
    y: &'static str,
    scale: Scale,
}

/// What the height means.
#[derive(Clone, Copy)]
enum Scale {
    /// A count, drawn as log(1 + count): 0 and 1000 both have a place.
    Kills,
    /// A share, drawn as it is.
    Share,
}

impl Scale {
    fn place(self, y: f64) -> f64 {
        match self {
            Self::Kills => (1.0 + y).log10(),
            Self::Share => y,
        }
    }

    fn ticks(self, max: f64) -> Vec<f64> {
        match self {
            Self::Kills => axis::powers(max),
            Self::Share => axis::steps(max),
        }
    }

    fn label(self, y: f64) -> String {
        match self {
            Self::Kills => format!("{y:.0}"),
            Self::Share => axis::share(y),
        }
    }
}

/// Memory slack against OOM kills.
pub(super) fn memory(html: &mut Html, outcome: &Outcome) {
    let trade = Trade {
        title: "Memory: slack against OOM kills",
        note: "Left and low is better; kills on a logarithmic scale.",
        x: "memory slack",
        y: "OOM kills",
        scale: Scale::Kills,
    };
    picture(html, &trade, &places(outcome, |f| Some((f.memory_slack?, f.oom_kills as f64))));
}

/// CPU slack against shortfall.
pub(super) fn cpu(html: &mut Html, outcome: &Outcome) {
    let trade = Trade {
        title: "CPU: slack against shortfall",
        note: "Left and low is better.",
        x: "CPU slack",
        y: "CPU shortfall",
        scale: Scale::Share,
    };
    picture(html, &trade, &places(outcome, |f| f.cpu_slack.zip(f.cpu_shortfall)));
}

fn places(outcome: &Outcome, figure: impl Fn(&Figures) -> Option<(f64, f64)>) -> Vec<Place<'_>> {
    let arms = outcome.arms.iter().enumerate();
    arms.filter_map(|(arm, o)| figure(&o.figures).map(|(x, y)| Place { arm, name: &o.name, x, y })).collect()
}

/// Those that no other beats in one figure without losing in the other, from left to right.
fn front<'a, 'b>(places: &'b [Place<'a>]) -> Vec<&'b Place<'a>> {
    let mut order: Vec<&Place<'_>> = places.iter().collect();
    order.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let mut least = f64::INFINITY;
    order.retain(|place| {
        let better = place.y < least;
        least = least.min(place.y);
        better
    });
    order
}

/// From figures to places in the picture.
struct Frame {
    right: f64,
    top: f64,
    scale: Scale,
}

impl Frame {
    fn x(&self, x: f64) -> f64 {
        LEFT + x / self.right * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - self.scale.place(y) / self.top * (HEIGHT - TOP - BOTTOM)
    }
}

fn picture(html: &mut Html, trade: &Trade, places: &[Place<'_>]) {
    if places.is_empty() {
        return;
    }
    let most = |value: fn(&Place<'_>) -> f64| places.iter().map(value).fold(0.0, f64::max);
    let (xs, ys) = (axis::steps(most(|p| p.x)), trade.scale.ticks(most(|p| p.y)));
    let far = |ticks: &[f64], value: f64| ticks.last().copied().unwrap_or(1.0).max(value);
    let top = trade.scale.place(far(&ys, most(|p| p.y))) * 1.04;
    let frame = Frame { right: far(&xs, most(|p| p.x)) * 1.02, top, scale: trade.scale };
    html.put(format_args!(
        "<figure><figcaption>{}<small>{} The stepped line joins the sizers that no other beats in both.</small></figcaption>\n",
        trade.title, trade.note
    ));
    let one = |p: &Place<'_>| {
        format!("{}: {} {}, {} {}. ", p.name, trade.x, axis::share(p.x), trade.y, trade.scale.label(p.y))
    };
    html.picture(
        &format!("viewBox=\"0 0 {WIDTH} {HEIGHT}\""),
        trade.title,
        &places.iter().map(one).collect::<String>(),
    );
    grid(html, trade, &frame, &xs, &ys);
    staircase(html, &frame, &front(places));
    points(html, &frame, trade, places);
    html.put(format_args!("</svg></figure>\n"));
}

fn grid(html: &mut Html, trade: &Trade, frame: &Frame, xs: &[f64], ys: &[f64]) {
    for x in xs {
        html.put(format_args!(
            "<path class=\"grid\" d=\"M{0:.1} {TOP}V{1}\"/><text x=\"{0:.1}\" y=\"{2}\" text-anchor=\"middle\">{3}</text>\n",
            frame.x(*x),
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 16.0,
            axis::share(*x)
        ));
    }
    for y in ys {
        html.put(format_args!(
            "<path class=\"grid\" d=\"M{LEFT} {0:.1}H{1}\"/><text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{4}</text>\n",
            frame.y(*y),
            WIDTH - RIGHT,
            LEFT - 6.0,
            frame.y(*y) + 4.0,
            trade.scale.label(*y)
        ));
    }
    html.put(format_args!(
        "<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{} →</text><text class=\"axis\" x=\"2\" y=\"12\">↑ {}</text>\n",
        WIDTH - RIGHT,
        HEIGHT - 6.0,
        trade.x,
        trade.y
    ));
}

/// Right of and above this line something is better in both.
fn staircase(html: &mut Html, frame: &Frame, front: &[&Place<'_>]) {
    let mut path = String::new();
    for place in front {
        let (x, y) = (frame.x(place.x), frame.y(place.y));
        path.push_str(&if path.is_empty() {
            format!("M{x:.1} {TOP}V{y:.1}")
        } else {
            format!("H{x:.1}V{y:.1}")
        });
    }
    html.put(format_args!("<path class=\"front\" d=\"{path}H{}\"/>\n", WIDTH - RIGHT));
}

/// A rectangle: left, top, right, bottom.
type Room = [f64; 4];

fn overlap(a: &Room, b: &Room) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

fn points(html: &mut Html, frame: &Frame, trade: &Trade, places: &[Place<'_>]) {
    let at = |p: &Place<'_>| (frame.x(p.x), frame.y(p.y));
    let mut taken: Vec<Room> =
        places.iter().map(at).map(|(x, y)| [x - 6.0, y - 6.0, x + 6.0, y + 6.0]).collect();
    // The first arm last, so that it lies on top.
    for place in places.iter().rev() {
        let (x, y) = at(place);
        let room = room_for_name(x, y, place.name.chars().count() as f64 * LETTER, &taken);
        taken.push(room);
        html.put(format_args!("<g class=\"a{}\"><title>", look(place.arm)));
        let values = (axis::share(place.x), trade.scale.label(place.y));
        html.text(&format!("{}: {} {}, {} {}", place.name, trade.x, values.0, trade.y, values.1));
        html.put(format_args!("</title>"));
        mark(html, place.arm, x, y);
        html.put(format_args!("<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">", room[0], room[3] - 3.0));
        html.text(place.name);
        html.put(format_args!("</text></g>\n"));
    }
}

/// Where a name stands: beside, below or above its mark, further and further off until it covers nothing.
fn room_for_name(x: f64, y: f64, width: f64, taken: &[Room]) -> Room {
    let room = |left: f64, middle: f64| [left, middle - LINE / 2.0, left + width, middle + LINE / 2.0];
    let fits = |r: &Room| {
        r[0] >= LEFT
            && r[2] <= WIDTH
            && r[1] >= TOP - LINE
            && r[3] <= HEIGHT - BOTTOM
            && !taken.iter().any(|t| overlap(r, t))
    };
    let tried = (0..8).map(|i| f64::from(i) * LINE * 0.8).flat_map(|off| {
        let (right, left, centre) = (x + 9.0, x - 9.0 - width, x - width / 2.0);
        let beside = [room(right, y - off), room(left, y - off), room(right, y + off), room(left, y + off)];
        beside.into_iter().chain([room(centre, y - 14.0 - off), room(centre, y + 14.0 + off)])
    });
    let fallback = room((x + 9.0).min(WIDTH - width), y);
    tried.into_iter().find(fits).unwrap_or(fallback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_holds_whom_nobody_beats_in_both() {
        let place = |arm, x, y| Place { arm, name: "", x, y };
        let places = [
            place(0, 0.3, 5.0),
            place(1, 0.2, 9.0),
            place(2, 0.35, 5.0),
            place(3, 0.2, 10.0),
            place(4, 0.5, 1.0),
        ];
        assert_eq!(front(&places).iter().map(|p| p.arm).collect::<Vec<_>>(), [1, 0, 4]);
        assert!(front(&[]).is_empty());
    }

    #[test]
    fn names_of_neighbours_do_not_cover_each_other() {
        let mut taken: Vec<Room> = Vec::new();
        for _ in 0..6 {
            let room = room_for_name(150.0, 120.0, 40.0, &taken);
            assert!(!taken.iter().any(|other| overlap(&room, other)));
            taken.push(room);
        }
    }
}
