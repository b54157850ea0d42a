//! The Pareto pictures: what an arm leaves unused against what it fails, and its exposure.

use super::palette::{Palette, marker};
use super::scale::Scale;
use super::text::{escape, percent, short};
use crate::replay::outcome::{ArmOutcome, Outcome};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 270.0;
/// Room beside the plot: left, right, top, bottom.
const ROOM: (f64, f64, f64, f64) = (46.0, 20.0, 26.0, 40.0);

/// A point of a picture.
struct Spot<'a> {
    name: &'a str,
    look: usize,
    x: f64,
    y: f64,
}

/// An axis: its name, its scale, and what its values are written with.
struct Axis {
    label: &'static str,
    scale: Scale,
    suffix: &'static str,
}

/// Up to three pictures: memory, CPU, exposure. None of what was not scored.
pub(super) fn all(outcome: &Outcome, palette: &Palette, id: &str) -> String {
    let spots = |x: fn(&ArmOutcome) -> Option<f64>, y: fn(&ArmOutcome) -> Option<f64>| -> Vec<Spot<'_>> {
        let arms = outcome.arms.iter();
        arms.filter_map(|arm| {
            Some(Spot { name: &arm.name, look: palette.look(&arm.name), x: 100.0 * x(arm)?, y: y(arm)? })
        })
        .collect()
    };
    let memory =
        spots(|a| a.figures.memory_slack, |a| a.figures.memory_slack.map(|_| a.figures.oom_kills as f64));
    let cpu = spots(|a| a.figures.cpu_slack, |a| a.figures.cpu_shortfall.map(|share| 100.0 * share));
    let mut html = String::new();
    if !memory.is_empty() {
        let y = Axis { label: "OOM kills", scale: Scale::of_counts(&ys(&memory)), suffix: "" };
        html += &scatter(&format!("{id}m"), "Memory: slack against OOM kills", &memory, &y);
    }
    if !cpu.is_empty() {
        let y = Axis { label: "CPU shortfall", scale: Scale::of(&ys(&cpu), 0.01), suffix: "%" };
        html += &scatter(&format!("{id}c"), "CPU: slack against shortfall", &cpu, &y);
    }
    if !memory.is_empty() {
        html += &exposure(outcome, palette, &format!("{id}e"));
    }
    format!("<div class=\"pictures\">\n{html}</div>\n")
}

fn ys(spots: &[Spot<'_>]) -> Vec<f64> {
    spots.iter().map(|spot| spot.y).collect()
}

fn across(share: f64) -> f64 {
    ROOM.0 + share * (WIDTH - ROOM.0 - ROOM.1)
}

fn up(share: f64) -> f64 {
    ROOM.2 + (1.0 - share) * (HEIGHT - ROOM.2 - ROOM.3)
}

fn scatter(id: &str, title: &str, spots: &[Spot<'_>], y: &Axis) -> String {
    let xs: Vec<f64> = spots.iter().map(|spot| spot.x).collect();
    let max = xs.iter().copied().fold(1.0, f64::max);
    let x =
        Axis { label: "slack", scale: Scale::Even { max: super::scale::round_up(max * 1.05) }, suffix: "%" };
    let place = |spot: &Spot<'_>| (across(x.scale.place(spot.x)), up(y.scale.place(spot.y)));
    let places: Vec<(f64, f64)> = spots.iter().map(place).collect();
    let marks: String = spots
        .iter()
        .zip(&places)
        .map(|(spot, &(cx, cy))| format!("<g class=\"a{}\">{}</g>", spot.look, marker(spot.look, cx, cy)))
        .collect();
    let words: Vec<String> = spots
        .iter()
        .map(|s| format!("{}: slack {}%, {} {}{}", s.name, short(s.x), y.label, short(s.y), y.suffix))
        .collect();
    framed(
        id,
        title,
        &words.join("; "),
        &format!(
            "{}<path class=\"front\" d=\"{}\"/>{marks}{}\
             <text class=\"better\" x=\"{:.0}\" y=\"{:.0}\">better ↙</text>",
            axes(&x, y),
            front(spots, &places),
            labels(spots, &places),
            across(0.0) + 6.0,
            up(0.0) - 7.0,
        ),
    )
}

fn framed(id: &str, title: &str, words: &str, inside: &str) -> String {
    format!(
        "<figure><figcaption>{title}</figcaption><svg class=\"picture\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-labelledby=\"{id}t {id}d\"><title id=\"{id}t\">{title}</title><desc id=\"{id}d\">{}</desc>\n{inside}</svg></figure>\n",
        escape(words)
    )
}

fn axes(x: &Axis, y: &Axis) -> String {
    let mut svg = String::new();
    for tick in x.scale.ticks() {
        let at = across(x.scale.place(tick));
        svg += &format!(
            "<path class=\"grid\" d=\"M{at:.1} {:.1}V{:.1}\"/><text class=\"tick mid\" x=\"{at:.1}\" y=\"{:.1}\">{}{}</text>",
            up(0.0),
            up(1.0),
            up(0.0) + 15.0,
            short(tick),
            x.suffix
        );
    }
    for tick in y.scale.ticks() {
        let at = up(y.scale.place(tick));
        svg += &format!(
            "<path class=\"grid\" d=\"M{:.1} {at:.1}H{:.1}\"/><text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}{}</text>",
            across(0.0),
            across(1.0),
            across(0.0) - 6.0,
            at + 4.0,
            tick_text(tick),
            y.suffix
        );
    }
    let orders = if matches!(y.scale, Scale::Orders { .. }) { ", by orders of magnitude" } else { "" };
    format!(
        "{svg}<text class=\"axis mid\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
         <text class=\"axis\" x=\"4\" y=\"12\">{}{orders}</text>\n",
        across(0.5),
        HEIGHT - 6.0,
        x.label,
        y.label
    )
}

/// A tick may be far below 0.01.
fn tick_text(tick: f64) -> String {
    if tick > 0.0 && tick < 0.01 { format!("{tick}") } else { short(tick) }
}

/// The stairs along those arms that no other beats in both.
fn front(spots: &[Spot<'_>], places: &[(f64, f64)]) -> String {
    let beaten = |spot: &Spot<'_>| {
        spots.iter().any(|o| o.x <= spot.x && o.y <= spot.y && (o.x < spot.x || o.y < spot.y))
    };
    let mut best: Vec<(f64, f64)> =
        spots.iter().zip(places).filter(|(spot, _)| !beaten(spot)).map(|(_, place)| *place).collect();
    best.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some(&(x, y)) = best.first() else { return String::new() };
    let steps: String = best.iter().skip(1).map(|(x, y)| format!("H{x:.1}V{y:.1}")).collect();
    format!("M{x:.1} {:.1}V{y:.1}{steps}H{:.1}", up(1.0), across(1.0))
}

/// A box on the picture: left, top, right, bottom.
type Area = (f64, f64, f64, f64);

/// The arms' names beside their markers, where they hide neither another marker nor another name.
fn labels(spots: &[Spot<'_>], places: &[(f64, f64)]) -> String {
    let mut taken: Vec<Area> = places.iter().map(|&(x, y)| (x - 7.0, y - 7.0, x + 7.0, y + 7.0)).collect();
    // The corner that says which way is better.
    taken.push((across(0.0), up(0.0) - 20.0, across(0.0) + 60.0, up(0.0)));
    let mut svg = String::new();
    for (spot, &(x, y)) in spots.iter().zip(places) {
        let length = spot.name.chars().count().min(24) as f64 * 7.6;
        // (class that anchors it, x, y, where it begins)
        let beside = [
            ("", x + 10.0, y + 4.0, 0.0),
            ("end", x - 11.0, y + 4.0, length),
            ("mid", x, y - 11.0, length / 2.0),
            ("mid", x, y + 19.0, length / 2.0),
            ("", x + 8.0, y - 9.0, 0.0),
            ("", x + 8.0, y + 17.0, 0.0),
            ("end", x - 8.0, y - 9.0, length),
            ("end", x - 8.0, y + 17.0, length),
        ];
        let area =
            |(_, x, y, before): (&str, f64, f64, f64)| (x - before, y - 10.0, x - before + length, y + 3.0);
        let inside = |a: Area| a.0 >= 2.0 && a.2 <= WIDTH - 1.0 && a.1 >= 14.0 && a.3 <= up(0.0) + 2.0;
        let free = |a: Area| inside(a) && !taken.iter().any(|b| overlap(a, *b));
        let at = beside.iter().copied().find(|&at| free(area(at))).unwrap_or(beside[0]);
        taken.push(area(at));
        let name: String = spot.name.chars().take(24).collect();
        svg += &format!(
            "<text class=\"name a{} {}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            spot.look,
            at.0,
            at.1,
            at.2,
            escape(&name)
        );
    }
    svg
}

fn overlap(a: Area, b: Area) -> bool {
    a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3
}

/// Exposure of each arm as a bar, with node pressure in words.
fn exposure(outcome: &Outcome, palette: &Palette, id: &str) -> String {
    let arms: Vec<(&ArmOutcome, f64)> =
        outcome.arms.iter().filter_map(|arm| Some((arm, arm.figures.memory_exposure?))).collect();
    // A few tenths of a per cent shall not look like much.
    let max = arms.iter().map(|(_, share)| *share).fold(0.01, f64::max);
    let height = ((HEIGHT - 40.0) / arms.len().max(1) as f64).min(44.0);
    let mut svg = String::new();
    let mut words = Vec::new();
    for (place, (arm, share)) in arms.iter().enumerate() {
        let top = 10.0 + place as f64 * height;
        let (look, name) = (palette.look(&arm.name), escape(&arm.name));
        let pressure = arm
            .figures
            .node_pressure
            .map_or_else(String::new, |share| format!(", node pressure {}", percent(Some(share), 2)));
        let text = format!("{}{pressure}", percent(Some(*share), 2));
        svg += &format!(
            "<g class=\"a{look}\"><text class=\"name\" x=\"8\" y=\"{:.1}\">{name}<tspan class=\"tick\" dx=\"8\">{text}</tspan></text>\
             <rect class=\"rail\" x=\"8\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\"/>\
             <rect class=\"bar\" x=\"8\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\"/></g>\n",
            top + 10.0,
            top + 16.0,
            WIDTH - 16.0,
            (height * 0.24).max(3.0),
            top + 16.0,
            (WIDTH - 16.0) * share / max,
            (height * 0.24).max(3.0),
        );
        words.push(format!("{}: {text}", arm.name));
    }
    svg += &format!(
        "<text class=\"tick\" x=\"8\" y=\"{:.1}\">used above the request; a full bar is {} of all that is used</text>",
        HEIGHT - 6.0,
        percent(Some(max), 1)
    );
    framed(id, "Memory: exposure", &words.join("; "), &svg)
}
