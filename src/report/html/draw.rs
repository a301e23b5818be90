//! The picture as SVG: what is where. Colours are stand-ins that the style sheet replaces, for light and dark and for print.

use super::plot::{Mark, Plot, Point, Series, Slope};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// What the style sheet knows the lines and texts by.
pub const INK: RGBColor = RGBColor(1, 1, 1);
pub const GRID: RGBColor = RGBColor(2, 2, 2);
/// Returns a colour that stands for that of the series, `--series-1` and so on.
pub fn series_color(index: usize) -> RGBColor {
    RGBColor(16 + index as u8, 16, 16)
}

/// Pixels of a picture at its own size.
#[derive(Clone, Copy)]
pub struct Size {
    pub width: u32,
    pub height: u32,
    /// Numbers along the bottom.
    pub ticks: usize,
}

/// Beside a table on a screen, and on a phone.
pub const WIDE: Size = Size { width: 860, height: 380, ticks: 9 };
pub const NARROW: Size = Size { width: 360, height: 300, ticks: 4 };

/// Pixels of a letter's height.
pub const TEXT: f64 = 17.0;
/// More than any machine holds; what a file says beyond it is drawn there.
const LARGEST: f64 = 1e15;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;
type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Draws the picture. Text in it is escaped by the crate that draws it.
pub fn svg(plot: &Plot, size: Size) -> String {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, (size.width, size.height)).into_drawing_area();
    draw(plot, size, &area).expect("a string can always be written to");
    drop(area);
    text
}

fn draw(plot: &Plot, size: Size, area: &Area) -> Drawn {
    let (right, [bottom, top]) = limits(plot);
    let label_width = [bottom, top].map(|value| amount(&value).len()).into_iter().max().unwrap_or(1) as u32 * 9 + 14;
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_right(18)
        .margin_top(34)
        .x_label_area_size(48)
        .y_label_area_size(label_width)
        .build_cartesian_2d(0.0..right, bottom..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .x_labels(size.ticks)
        .y_labels(6)
        .x_label_formatter(&amount)
        .y_label_formatter(&amount)
        .x_desc(plot.across())
        .axis_desc_style(("sans-serif", TEXT, &INK))
        .label_style(("sans-serif", TEXT, &INK))
        .draw()?;
    let above = TextStyle::from(("sans-serif", TEXT).into_font()).color(&INK).pos(Pos::new(HPos::Left, VPos::Top));
    area.draw(&Text::new(format!("{} objects kept", plot.counter), (10, 10), above))?;
    for (i, series) in plot.series.iter().enumerate() {
        draw_series(&mut chart, series, series_color(i))?;
    }
    area.present()
}

/// Returns the units to the right, and the least and most objects.
fn limits(plot: &Plot) -> (f64, [f64; 2]) {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let right = bounded(points().map(|point| point.units).max().unwrap_or(0).max(1) as f64);
    let ends = plot.series.iter().flat_map(|series| {
        let end = series.end();
        series.fan().into_iter().flatten().map(move |rate| bounded(rate * end))
    });
    let values: Vec<f64> = points().map(|point| bounded(point.kept as f64)).chain(ends).chain([0.0]).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // What lies on the frame is hard to see.
    let room = ((high - low) * 0.06).max(0.6);
    (right * 1.03, [low - room, high + room])
}

fn draw_series(chart: &mut Chart, series: &Series, color: RGBColor) -> Drawn {
    let end = series.end();
    if let Some([low, high]) = series.fan() {
        let fan = vec![(0.0, 0.0), (end, bounded(low * end)), (end, bounded(high * end))];
        chart.draw_series(std::iter::once(Polygon::new(fan, color.mix(0.18))))?;
    }
    if let Slope::Rate(rate) = series.slope {
        let line = vec![(0.0, 0.0), (end, bounded(rate.estimate * end))];
        chart.draw_series(std::iter::once(PathElement::new(line, color.stroke_width(2))))?;
    }
    for point in &series.points {
        draw_point(chart, point, color)?;
    }
    Ok(())
}

fn draw_point(chart: &mut Chart, point: &Point, color: RGBColor) -> Drawn {
    let at = (bounded(point.units as f64), bounded(point.kept as f64));
    match point.mark {
        Mark::Dose => chart.draw_series(std::iter::once(Circle::new(at, 5, color.filled())))?,
        Mark::Control => chart.draw_series(std::iter::once(Circle::new(at, 8, color.stroke_width(2))))?,
        Mark::Proof => chart.draw_series(std::iter::once(TriangleMarker::new(at, 7, color.filled())))?,
        Mark::Unmount => chart.draw_series(std::iter::once(Cross::new(at, 7, color.stroke_width(2))))?,
    };
    Ok(())
}

impl Series {
    fn end(&self) -> f64 {
        bounded(self.points.last().map_or(0, |point| point.units) as f64)
    }

    /// Returns the least and the largest slope that the bounds allow.
    fn fan(&self) -> Option<[f64; 2]> {
        match self.slope {
            Slope::Rate(rate) => Some([rate.low, rate.high]),
            Slope::AtMost(high) => Some([0.0, high]),
            Slope::Unknown => None,
        }
    }
}

fn bounded(value: f64) -> f64 {
    value.clamp(-LARGEST, LARGEST)
}

/// Returns a number on an axis: `0`, `1.5`, `120k`, `3M`.
fn amount(value: &f64) -> String {
    let scaled = |by: f64| format!("{:.1}", value / by).trim_end_matches('0').trim_end_matches('.').to_owned();
    match value.abs() {
        size if size < 0.05 => "0".into(),
        size if size < 10_000.0 => scaled(1.0),
        size if size < 1e6 => scaled(1e3) + "k",
        _ => scaled(1e6) + "M",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::plot::plots;
    use crate::report::html::plot::tests::with_rounds;

    #[test]
    fn points_are_all_drawn() {
        let plot = &plots(&with_rounds())[0];
        for size in [WIDE, NARROW] {
            let svg = svg(plot, size);
            // Dose rounds and control rounds of both kernels.
            assert_eq!(svg.matches("<circle").count(), 4, "{svg}");
            assert!(svg.contains("kmalloc-256 objects kept") && svg.contains("listings made"), "{svg}");
            assert!(svg.contains("#101010") && svg.contains("#111010"), "the series have no colours of their own");
        }
    }

    #[test]
    fn counter_of_any_name_and_size_is_drawn() {
        let mut plot = plots(&with_rounds()).remove(0);
        plot.counter = "<script>\"&'".into();
        plot.unit = plot.counter.clone();
        for kept in [0, -1, i64::MAX, i64::MIN] {
            plot.series[0].points[0].kept = kept;
            let svg = svg(&plot, NARROW);
            assert!(!svg.contains("<script"), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn numbers_on_an_axis_are_short() {
        let table = [(0.0, "0"), (-0.01, "0"), (1.5, "1.5"), (350.0, "350"), (120_000.0, "120k"), (3e6, "3M")];
        for (number, expected) in table {
            assert_eq!(amount(&number), expected);
        }
    }
}
