//! Ratios of times as a picture: a point and its interval for each state, and how far from 1 is still called the same.

use super::{Area, Drawn, Look};
use crate::error::Result;
use crate::result::bench::{Comparison, StateComparison};
use crate::result::bench_metrics::SECONDS;
use crate::stats::estimate::Estimate;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// More than any ratio is; what a file says beyond it is drawn there.
const LARGEST: f64 = 1e9;
/// Half the height of the bars at the ends of an interval, where a row is 1.
const BAR: f64 = 0.12;

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Returns the states that are drawn, with their ratios.
pub fn rows(comparison: &Comparison) -> Vec<(&StateComparison, Estimate)> {
    let bounded = |ratio: &Estimate| Estimate {
        estimate: ratio.estimate.clamp(0.0, LARGEST),
        low: ratio.low.clamp(0.0, LARGEST),
        high: ratio.high.clamp(0.0, LARGEST),
    };
    let states = comparison.states.iter();
    states.filter_map(|state| Some((state, bounded(state.ratios.get(SECONDS)?)))).collect()
}

/// Draws the picture as SVG.
pub fn svg(comparison: &Comparison, look: &Look) -> Result<String> {
    super::svg("ratios", look, |area| draw(comparison, look, area))
}

fn draw(comparison: &Comparison, look: &Look, area: &Area) -> Drawn {
    let rows = rows(comparison);
    let margin = 1.0 + comparison.margin.clamp(0.0, LARGEST);
    let least = rows.iter().map(|(_, ratio)| ratio.low).fold(1.0 / margin, f64::min);
    let most = rows.iter().map(|(_, ratio)| ratio.high).fold(margin, f64::max);
    let room = ((most - least) * 0.08).max(1e-3);
    let widest = rows.iter().map(|(state, _)| state.state.as_str().len()).max().unwrap_or(0) as f64;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(22)
        .x_label_area_size(48)
        .y_label_area_size((widest * look.text * 0.55) as u32 + 12)
        .build_cartesian_2d(least - room..most + room, -0.6..rows.len() as f64 - 0.4)?;
    let last = rows.len() as f64 - 0.4;
    chart.draw_series([Rectangle::new([(1.0 / margin, -0.6), (margin, last)], look.grid.mix(0.6).filled())])?;
    mesh(&mut chart, look, most - least)?;
    chart.draw_series([PathElement::new([(1.0, -0.6), (1.0, last)], look.ink.stroke_width(1))])?;
    for (place, (state, ratio)) in rows.iter().rev().enumerate() {
        draw_row(&mut chart, place as f64, ratio, (look.colour)(1))?;
        let (x, y) = chart.plotting_area().map_coordinate(&(least - room, place as f64));
        let style = TextStyle::from(("sans-serif", look.text).into_font()).color(&look.ink);
        area.draw(&Text::new(state.state.as_str(), (x - 8, y), style.pos(Pos::new(HPos::Right, VPos::Center))))?;
    }
    area.present()?;
    Ok(())
}

fn mesh(chart: &mut Chart, look: &Look, span: f64) -> Drawn {
    let digits = if span < 0.05 { 3 } else { 2 };
    let written = |ratio: &f64| format!("{ratio:.digits$}");
    let style = ("sans-serif", look.text, &look.ink);
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("times as long").axis_desc_style(style).label_style(style).disable_y_mesh().y_labels(0);
    mesh.x_label_formatter(&written).x_labels(look.ticks);
    mesh.bold_line_style(look.grid).light_line_style(TRANSPARENT).axis_style(look.ink).draw()?;
    Ok(())
}

fn draw_row(chart: &mut Chart, place: f64, ratio: &Estimate, colour: RGBColor) -> Drawn {
    let line = |from: (f64, f64), to: (f64, f64)| PathElement::new([from, to], colour.stroke_width(2));
    let end = |at: f64| line((at, place - BAR), (at, place + BAR));
    chart.draw_series([line((ratio.low, place), (ratio.high, place)), end(ratio.low), end(ratio.high)])?;
    chart.draw_series([Circle::new((ratio.estimate, place), 5, colour.filled())])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::bench::example;
    use crate::result::bench::BenchVerdict;

    #[test]
    fn each_state_is_a_row_with_a_name_and_a_point() {
        let comparison = &example::compared(&[BenchVerdict::Slower]).comparisons[0];
        let text = svg(comparison, &Look::FILE).unwrap();
        assert_eq!(text.matches("<circle").count(), 4, "{text}");
        for words in ["cold", "warm", "expired", "changing", "times as long", "1.10"] {
            assert!(text.contains(words), "{words} is missing in {text}");
        }
    }

    #[test]
    fn ratios_of_whatever_a_file_says_are_drawn() {
        let mut comparison = example::compared(&[BenchVerdict::Slower]).comparisons.remove(0);
        for (low, high) in [(0.0, 0.0), (-5.0, 1e300), (1.0, 1.0)] {
            let ratio = Estimate { estimate: high, low, high };
            comparison.states[0].ratios.insert(SECONDS.into(), ratio);
            let text = svg(&comparison, &Look::FILE).unwrap();
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
        comparison.states.clear();
        assert!(svg(&comparison, &Look::FILE).is_ok());
    }
}
