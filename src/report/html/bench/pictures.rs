//! The pictures of a bench: ratios with their bounds, and growth.

use crate::error::Result;
use crate::report::bench::plot::{Look, growth as lines, ratios as intervals};
use crate::report::bench::{format, phrases};
use crate::report::html::draw::{GRID, INK, NARROW, Size, TEXT, WIDE, series_color};
use crate::result::bench::{Comparison, Growth};
use maud::{Markup, PreEscaped, html};

/// Lines beyond these cannot be told apart.
const MOST_LINES: usize = 6;
/// Pixels of the rows of a picture of ratios, and of what is below them.
const ROW: u32 = 40;
const BELOW: u32 = 90;

/// Draws a point and an interval for each state.
pub fn ratios(comparison: &Comparison) -> Markup {
    let Comparison { scenario, base, other, .. } = comparison;
    let rows = intervals::rows(comparison);
    let in_words = rows.iter().map(|(state, ratio)| format!("{} {}", state.state.as_str(), format::ratio(ratio)));
    let in_words = format!("{other} divided by {base}: {}", in_words.collect::<Vec<_>>().join("; "));
    let height = ROW * rows.len() as u32 + BELOW;
    html! {
        figure role="img" aria-label=(in_words) {
            h3 { "Time of a listing of " (scenario) ": " code { (other) } " divided by " code { (base) } }
            @if !rows.is_empty() { (plot(|size| intervals::svg(comparison, &look(Size { height, ..size })))) }
            figcaption class="note" {
                "A dot is the ratio, the bars are its bounds; the grey band is what is called the same."
            }
        }
    }
}

/// Draws a picture for each scenario.
pub fn growth(growths: &[Growth]) -> Markup {
    let all = lines::lines(growths);
    let mut scenarios: Vec<&str> = all.iter().map(|line| line.scenario.as_str()).collect();
    scenarios.dedup();
    html! {
        @for scenario in scenarios {
            @let lines: Vec<&Growth> = all.iter().copied().filter(|line| line.scenario == scenario).take(MOST_LINES).collect();
            figure role="img" aria-label=(alt_text(&lines)) {
                h3 { "Time of a listing of " (scenario) " against its entries" }
                (plot(|size| lines::svg(&lines, &look(size))))
                figcaption { ul class="legend" {
                    @for (i, line) in lines.iter().enumerate() {
                        li { span class=(format!("swatch s{i}")) {} code { (line.kernel) } ", " (legend(line)) }
                    }
                } }
            }
        }
    }
}

fn alt_text(lines: &[&Growth]) -> String {
    lines.iter().map(|line| format!("{}, {}", line.kernel, legend(line))).collect::<Vec<_>>().join("; ")
}

fn legend(line: &Growth) -> String {
    format!("{}: {}, {}", phrases::what_grows(line), line.called, phrases::power(line))
}

/// Shows a plot on a screen and on a phone. Text in it is escaped by plotters, which draws it.
fn plot(svg: impl Fn(Size) -> Result<String>) -> Markup {
    let drawn = [(WIDE, "plot wide-only"), (NARROW, "plot narrow-only")];
    html! {
        @for (size, class) in drawn {
            @match svg(size) {
                Ok(svg) => div class=(class) { (PreEscaped(svg)) },
                Err(why) => p class="note" { (why) },
            }
        }
    }
}

fn look(size: Size) -> Look {
    Look {
        size: (size.width, size.height),
        text: TEXT,
        ticks: size.ticks,
        ink: INK,
        grid: GRID,
        colour: series_color,
        alone: false,
    }
}
