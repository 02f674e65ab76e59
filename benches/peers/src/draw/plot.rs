//! Plots over the number of tokens, both axes logarithmic, as SVG.

use std::{fmt::Write, fs, io, path::Path};

use super::{
    numbers::{Quantity, grouped},
    place::{Axis, spread},
};
use crate::results::Results;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 486.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 372.0;
/// Where the names of the lines start.
const NAMES: f64 = 528.0;
const LINE_HEIGHT: f64 = 15.0;
/// What is left free between two names.
const GAP: f64 = 4.0;

/// Every color below has this text and this ground to stand out from, in light and in dark.
const CSS: &str = r#"
text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.ours { font-weight: 600 }
.quiet { fill: #59636e }
.grid { stroke: #d1d9e0 }
.ground { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.quiet { fill: #9198a1 }
.grid { stroke: #30363d }
.ground { fill: #0d1117 }
}
"#;

/// By the place of a contender in the results, the limit first: distinct without colors too.
const LOOKS: [(&str, Marker); 10] = [
    ("#7d8590", Marker::None),
    ("#d9480f", Marker::Circle),
    ("#0072b2", Marker::Square),
    ("#4a90d9", Marker::Diamond),
    ("#5b6bbf", Marker::Triangle),
    ("#2a8f9d", Marker::Cross),
    ("#0a9a72", Marker::Triangle),
    ("#c2609c", Marker::Circle),
    ("#9a7500", Marker::Cross),
    ("#8b62d0", Marker::Square),
];

#[derive(Clone, Copy)]
enum Marker {
    None,
    Circle,
    Square,
    Diamond,
    Triangle,
    Cross,
}

struct Plot {
    file: &'static str,
    title: &'static str,
    work: &'static str,
    quantity: Quantity,
    /// What the limit is.
    limit: &'static str,
}

const PLOTS: [Plot; 4] = [
    Plot {
        file: "find.svg",
        title: "Finding a token by its user",
        work: "find-user",
        quantity: Quantity::Time,
        limit: "limit: a bare stat",
    },
    Plot {
        file: "save.svg",
        title: "Saving a token",
        work: "save",
        quantity: Quantity::Time,
        limit: "limit: as many bytes\nappended and synced",
    },
    Plot {
        file: "open.svg",
        title: "Opening a store",
        work: "open",
        quantity: Quantity::Time,
        limit: "limit: read and decrypt",
    },
    Plot {
        file: "memory.svg",
        title: "Memory of an open store at rest",
        work: "rest",
        quantity: Quantity::Bytes,
        limit: "the tokens themselves",
    },
];

/// Writes the plots into the directory.
///
/// # Errors
///
/// If a file cannot be written.
pub fn draw(results: &Results, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    PLOTS.iter().try_for_each(|plot| fs::write(directory.join(plot.file), plot.svg(results)))
}

impl Plot {
    fn svg(&self, results: &Results) -> String {
        let lines = self.lines(results);
        let points = || lines.iter().flat_map(|line| &line.points);
        let across = Axis::over(points().map(|point| point.size as f64), LEFT, RIGHT);
        let up = Axis::over(points().flat_map(|point| [point.low, point.high]), BOTTOM, TOP);

        let title = self.title;
        let description: String = lines.iter().map(|line| line.description(self.quantity)).collect();
        let measure = match self.quantity {
            Quantity::Time | Quantity::Multiple => "Median, and a thin line from the 10th to the 90th percentile",
            Quantity::Bytes => "Resident memory that the store adds to its process",
        };
        let hollow = if lines.iter().any(|line| line.plain) { "; hollow marks: plain text on disk" } else { "" };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"title desc\">\n\
             <title id=\"title\">{title}</title>\n\
             <desc id=\"desc\">{measure}, over the number of tokens; both axes are logarithmic.{description}</desc>\n\
             <style>{CSS}</style>\n\
             <text class=\"title\" x=\"14\" y=\"24\">{title}</text>\n\
             <text class=\"quiet\" x=\"14\" y=\"43\">{measure}{hollow}</text>\n"
        );
        svg += &self.grid(&across, &up);
        // The limit lies under all, and tokenkeep over all.
        for line in lines.iter().rev() {
            svg += &line.drawn(&across, &up);
        }
        svg += &names(&lines, &across, &up);
        svg + "</svg>\n"
    }

    /// tokenkeep first and the limit last.
    fn lines(&self, results: &Results) -> Vec<Line> {
        let peers = results.contenders.iter().enumerate().filter(|(_, contender)| *contender != "limit");
        let peers =
            peers.map(|(index, contender)| (LOOKS[index % LOOKS.len()], contender.as_str(), contender.as_str()));
        let last = results.sizes().last().copied();
        peers
            .chain([(LOOKS[0], "limit", self.limit)])
            .filter_map(|((color, marker), contender, name)| {
                let points: Vec<Point> = results
                    .sizes()
                    .into_iter()
                    .filter_map(|size| results.figure(contender, self.work, size))
                    // There is no place for nothing at all on a logarithmic axis.
                    .filter(|figure| figure.p10 > 0.0)
                    .map(|figure| Point { size: figure.size, low: figure.p10, middle: figure.median, high: figure.p90 })
                    .collect();
                let end = points.last()?.size;
                let mut name = escaped(name);
                if Some(end) != last {
                    write!(name, "\nup to {} tokens", grouped(end)).expect("it is a string");
                }
                Some(Line {
                    plain: name.contains("plain text"),
                    ours: name.starts_with("tokenkeep"),
                    name,
                    color,
                    marker,
                    points,
                })
            })
            .collect()
    }

    fn grid(&self, across: &Axis, up: &Axis) -> String {
        let mut svg = String::new();
        for size in across.decades() {
            let (x, name) = (across.place(size), grouped(size as usize));
            svg += &format!("<path class=\"grid\" d=\"M{x:.1} {TOP}V{BOTTOM}\"/>\n");
            svg += &format!(
                "<text class=\"quiet\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>\n",
                BOTTOM + 18.0
            );
        }
        for number in up.decades() {
            let (y, name) = (up.place(number), self.quantity.decade(number));
            svg += &format!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>\n");
            svg += &format!(
                "<text class=\"quiet\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>\n",
                LEFT - 8.0,
                y + 4.0
            );
        }
        let (x, y) = (f64::midpoint(LEFT, RIGHT), BOTTOM + 38.0);
        svg + &format!("<text class=\"quiet\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">tokens in the store</text>\n")
    }
}

struct Point {
    size: usize,
    low: f64,
    middle: f64,
    high: f64,
}

struct Line {
    /// One row of text or two.
    name: String,
    color: &'static str,
    marker: Marker,
    plain: bool,
    ours: bool,
    points: Vec<Point>,
}

impl Line {
    fn description(&self, quantity: Quantity) -> String {
        let numbers =
            self.points.iter().map(|point| format!("{} at {}", quantity.short(point.middle), grouped(point.size)));
        format!(" {}: {}.", self.name.replace('\n', " "), numbers.collect::<Vec<_>>().join(", "))
    }

    fn drawn(&self, across: &Axis, up: &Axis) -> String {
        let (color, width) = (self.color, if self.ours { 3.5 } else { 1.75 });
        let dashes = if let Marker::None = self.marker { " stroke-dasharray=\"6 4\"" } else { "" };
        let places: Vec<(f64, f64)> =
            self.points.iter().map(|point| (across.place(point.size as f64), up.place(point.middle))).collect();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        let path = path.join("L");
        let mut svg = format!(
            "<path d=\"M{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"{dashes}/>\n"
        );
        for (point, (x, y)) in self.points.iter().zip(places) {
            let (low, high) = (up.place(point.low), up.place(point.high));
            svg += &format!("<path d=\"M{x:.1} {low:.1}V{high:.1}\" stroke=\"{color}\"/>\n");
            svg += &self.mark(x, y);
        }
        svg
    }

    fn mark(&self, x: f64, y: f64) -> String {
        let r = if self.ours { 5.0 } else { 4.0 };
        let shape = match self.marker {
            Marker::None => return String::new(),
            Marker::Circle => format!("m-{r} 0a{r} {r} 0 1 0 {0} 0a{r} {r} 0 1 0 -{0} 0z", 2.0 * r),
            Marker::Square => format!("m-{0} -{0}h{1}v{1}h-{1}z", 0.9 * r, 1.8 * r),
            Marker::Diamond => format!("m0 -{0}l{0} {0}l-{0} {0}l-{0} -{0}z", 1.2 * r),
            Marker::Triangle => format!("m0 -{0}l{0} {1}h-{1}z", 1.1 * r, 2.0 * r),
            Marker::Cross => format!("m-{r} -{r}l{0} {0}m0 -{0}l-{0} {0}", 2.0 * r),
        };
        let fill = if self.plain { "class=\"ground\"".to_owned() } else { format!("fill=\"{}\"", self.color) };
        format!("<path d=\"M{x:.1} {y:.1}{shape}\" {fill} stroke=\"{}\" stroke-width=\"1.75\"/>\n", self.color)
    }
}

/// The names of the lines, each at the height of its line's end, or as near as the others let it be.
fn names(lines: &[Line], across: &Axis, up: &Axis) -> String {
    let ends: Vec<(f64, f64)> = lines
        .iter()
        .filter_map(|line| line.points.last())
        .map(|point| (across.place(point.size as f64), up.place(point.middle)))
        .collect();
    let wanted: Vec<(f64, f64)> = lines
        .iter()
        .zip(&ends)
        .map(|(line, (_, y))| (*y, line.name.lines().count() as f64 * LINE_HEIGHT + GAP))
        .collect();
    let mut svg = String::new();
    for ((line, (x, y)), middle) in lines.iter().zip(ends).zip(spread(&wanted, TOP - 8.0, HEIGHT - 6.0)) {
        let class = if line.ours { " class=\"ours\"" } else { "" };
        svg += &format!(
            "<path d=\"M{:.1} {y:.1}H{}L{} {middle:.1}\" fill=\"none\" stroke=\"{}\" stroke-dasharray=\"1 3\"/>\n",
            x + 8.0,
            RIGHT + 10.0,
            NAMES - 20.0,
            line.color
        );
        svg += &line.mark(NAMES - 12.0, middle);
        if let Marker::None = line.marker {
            svg += &format!(
                "<path d=\"M{} {middle:.1}h14\" stroke=\"{}\" stroke-width=\"1.75\" stroke-dasharray=\"6 2\"/>\n",
                NAMES - 19.0,
                line.color
            );
        }
        let first = middle - (line.name.lines().count() - 1) as f64 * LINE_HEIGHT / 2.0 + 4.0;
        for (index, row) in line.name.lines().enumerate() {
            svg +=
                &format!("<text{class} x=\"{NAMES}\" y=\"{:.1}\">{row}</text>\n", first + index as f64 * LINE_HEIGHT);
        }
    }
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_color_stands_out_from_both_grounds() {
        let luminance = |color: &str| {
            let part = |at: usize| {
                let part = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
                if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
        };
        for (color, _) in LOOKS {
            for ground in ["#ffffff", "#0d1117"] {
                let (one, other) = (luminance(color) + 0.05, luminance(ground) + 0.05);
                // What WCAG 2 asks of graphics.
                assert!(one.max(other) / one.min(other) >= 3.0, "{color} on {ground}");
            }
        }
    }
}
