//! Growth as a picture: logarithms of both, in which a power of the number of entries is a straight line.

use super::record::{BenchRecord, Growth};
use super::summary::SECONDS;
use crate::error::{Context, Result};
use plotters::prelude::*;

const SIZE: (u32, u32) = (800, 500);
const FONT: (&str, u32) = ("sans-serif", 15);
const TITLE: (&str, u32) = ("sans-serif", 18);
/// Colours that are told apart by most people who see few of them (Okabe and Ito 2008).
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

/// The time of a listing against the entries of its directory, a line for each kernel and state, as SVG.
pub fn svg(growths: &[Growth], records: &[BenchRecord]) -> Result<String> {
    let lines: Vec<&Growth> = growths.iter().filter(|growth| growth.what == SECONDS).collect();
    let mut text = String::new();
    draw(&lines, records, &mut text).machine(|| "cannot draw the plot".into())?;
    Ok(text)
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(lines: &[&Growth], records: &[BenchRecord], text: &mut String) -> Drawn {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let points = || lines.iter().flat_map(|line| line.points.iter().map(|(n, y)| (*n as f64, *y)));
    let range = |of: fn((f64, f64)) -> f64, room: f64| {
        let values: Vec<f64> = points().map(of).filter(|value| *value > 0.0).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        (least.min(most) / room..most * room).log_scale()
    };
    let named = records.first().map_or(String::new(), |r| format!("Listing {}", r.scenario));
    let mut chart = ChartBuilder::on(&root)
        .caption(named, TITLE)
        .margin(12)
        .x_label_area_size(45)
        .y_label_area_size(70)
        .build_cartesian_2d(range(|p| p.0, 1.3), range(|p| p.1, 2.0))?;
    chart
        .configure_mesh()
        .x_desc("entries")
        .y_desc("seconds of the guest's clock")
        .x_label_formatter(&|n| format!("{n:.0}"))
        .y_label_formatter(&|y| format!("{y:.0e}"))
        .label_style(FONT)
        .light_line_style(WHITE)
        .draw()?;
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let points: Vec<(f64, f64)> =
            line.points.iter().map(|(n, y)| (*n as f64, *y)).filter(|(_, y)| *y > 0.0).collect();
        let state = line.state.map_or("", |state| state.name());
        let label = format!("{} {state}: entries^{:.2}", line.kernel, line.exponent.estimate);
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 4, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(FONT)
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::record::Ratio;
    use super::*;
    use crate::guest::timed::CacheState;

    #[test]
    fn a_plot_has_a_line_for_each_state_and_is_svg() {
        let growth = |state, scale: f64| Growth {
            scenario: "quick".into(),
            kernel: "6.1".into(),
            what: SECONDS.into(),
            state: Some(state),
            points: [1e3, 1e4, 1e5].map(|n| (n as u64, n * scale)).to_vec(),
            exponent: Ratio { estimate: 1.0, low: 0.9, high: 1.1 },
            last_step: 1.0,
            called: "linear".into(),
        };
        let text = svg(&[growth(CacheState::Cold, 1e-6), growth(CacheState::Warm, 1e-7)], &[]).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
        for words in ["6.1 cold: entries^1.00", "6.1 warm: entries^1.00", "seconds of the guest", "<polyline"] {
            assert!(text.contains(words), "{words} is missing");
        }
    }
}
