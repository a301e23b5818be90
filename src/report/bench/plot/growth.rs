//! Growth as a picture: logarithms of both, in which a power of the number of entries is a straight line.

use super::{Area, Drawn, Look};
use crate::error::Result;
use crate::result::bench::Growth;
use crate::result::bench_metrics::SECONDS;
use plotters::coord::combinators::LogCoord;
use plotters::prelude::*;
use std::ops::Range;

/// More than any listing takes, and less; what a file says beyond it is drawn there.
const LIMITS: (f64, f64) = (1e-9, 1e12);

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, LogCoord<f64>>>;

/// Returns what is drawn: the time of a listing against the entries of its directory, a line for each kernel and state.
pub fn lines(growths: &[Growth]) -> Vec<&Growth> {
    growths.iter().filter(|growth| growth.what == SECONDS && !points(growth).is_empty()).collect()
}

/// Returns the picture as SVG.
pub fn svg(lines: &[&Growth], look: &Look) -> Result<String> {
    super::svg("growth", look, |area| draw(lines, look, area))
}

/// Returns the points that have logarithms.
fn points(line: &Growth) -> Vec<(f64, f64)> {
    let positive = line.points.iter().map(|(n, y)| (*n as f64, *y)).filter(|(n, y)| *n > 0.0 && *y > 0.0);
    positive.map(|(n, y)| (n, y.clamp(LIMITS.0, LIMITS.1))).collect()
}

fn draw(lines: &[&Growth], look: &Look, area: &Area) -> Drawn {
    if look.alone {
        area.fill(&WHITE)?;
    }
    let points: Vec<(f64, f64)> = lines.iter().flat_map(|line| points(line)).collect();
    let mut builder = ChartBuilder::on(area);
    builder.margin(12).margin_right(22).x_label_area_size(48);
    builder.y_label_area_size(if look.alone { 90 } else { 74 });
    let title = lines.first().map(|line| format!("Listing {}", line.scenario)).filter(|_| look.alone);
    if let Some(title) = title {
        builder.caption(title, ("sans-serif", look.text * 1.2, &look.ink));
    }
    let range = |of: fn(&(f64, f64)) -> f64, room| range(points.iter().map(of), room).log_scale();
    let mut chart = builder.build_cartesian_2d(range(|p| p.0, 1.3), range(|p| p.1, 2.0))?;
    mesh(&mut chart, look)?;
    for (number, line) in lines.iter().enumerate() {
        draw_line(&mut chart, line, (look.colour)(number))?;
    }
    if look.alone {
        let labels = &mut chart.configure_series_labels();
        let labels = labels.position(SeriesLabelPosition::UpperLeft).label_font(("sans-serif", look.text));
        labels.border_style(look.ink).background_style(WHITE).draw()?;
    }
    area.present()?;
    Ok(())
}

fn range(values: impl Iterator<Item = f64>, room: f64) -> Range<f64> {
    let (least, most) = values.fold((f64::INFINITY, LIMITS.0), |(least, most), v| (v.min(least), v.max(most)));
    least.min(most) / room..most * room
}

fn mesh(chart: &mut Chart, look: &Look) -> Drawn {
    let style = ("sans-serif", look.text, &look.ink);
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("entries").axis_desc_style(style).label_style(style);
    if look.alone {
        mesh.y_desc("time of a listing");
    }
    mesh.x_label_formatter(&|n| entries(*n)).y_label_formatter(&|y| time(*y));
    mesh.bold_line_style(look.grid).light_line_style(TRANSPARENT).axis_style(look.ink);
    mesh.x_labels(look.ticks.min(7)).y_labels(7).draw()?;
    Ok(())
}

fn draw_line(chart: &mut Chart, line: &Growth, colour: RGBColor) -> Drawn {
    let points = points(line);
    let state = line.state.map_or("", |state| state.as_str());
    let label = format!("{} {state}: entries^{:.2}", line.kernel, line.exponent.estimate);
    chart
        .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
        .label(label)
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    chart.draw_series(points.into_iter().map(|point| Circle::new(point, 4, colour.filled())))?;
    Ok(())
}

/// Returns a number of entries on an axis: `1000`, `10k`, `1M`.
fn entries(number: f64) -> String {
    match number {
        n if n < 1e4 => format!("{n:.0}"),
        n if n < 1e6 => format!("{:.0}k", n / 1e3),
        n => format!("{:.0}M", n / 1e6),
    }
}

/// Returns a time on an axis: `10 us`, `1 ms`, `100 s`.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 0.999e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 0.999e-3 => format!("{:.0} us", s * 1e6),
        s if s < 0.999 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::timing::CacheState;
    use crate::stats::estimate::Estimate;

    fn growth(state: CacheState, scale: f64) -> Growth {
        Growth {
            scenario: "quick".into(),
            kernel: "6.1".into(),
            what: SECONDS.into(),
            state: Some(state),
            points: [1e3, 1e4, 1e5].map(|n| (n as u64, n * scale)).to_vec(),
            exponent: Estimate { estimate: 1.0, low: 0.9, high: 1.1 },
            last_step: 1.0,
            called: "linear".into(),
        }
    }

    #[test]
    fn plot_has_a_line_for_each_state_and_is_svg() {
        let growths = [growth(CacheState::Cold, 1e-6), growth(CacheState::Warm, 1e-7)];
        let text = svg(&lines(&growths), &Look::FILE).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
        for words in ["6.1 cold: entries^1.00", "6.1 warm: entries^1.00", "time of a listing", "<polyline", "10 ms"] {
            assert!(text.contains(words), "{words} is missing");
        }
        let within = svg(&lines(&growths), &Look { alone: false, ..Look::FILE }).unwrap();
        assert!(!within.contains("entries^"), "what is around it has the legend");
    }

    #[test]
    fn growth_of_whatever_a_file_says_is_drawn() {
        for scale in [0.0, -1.0, 1e-300, 1e300] {
            let growths = [growth(CacheState::Cold, scale), growth(CacheState::Warm, 1e-7)];
            let text = svg(&lines(&growths), &Look::FILE).unwrap();
            assert!(text.contains("<circle") && !text.contains("NaN") && !text.contains("inf"), "{scale}: {text}");
        }
    }
}
