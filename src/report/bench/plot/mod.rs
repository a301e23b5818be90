//! Benches as pictures: how cost grows, and ratios with their bounds. What they look like is said by whoever shows them.

pub mod growth;
pub mod ratios;

use crate::error::{Context, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

/// What a picture may fail by.
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// What a picture is drawn on.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a picture of `what` as SVG.
fn svg(what: &str, look: &Look, draw: impl FnOnce(&Area) -> Drawn) -> Result<String> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, look.size).into_drawing_area();
    draw(&area).machine(|| format!("cannot draw the {what}"))?;
    drop(area);
    Ok(text)
}

/// Size and colours of a picture.
#[derive(Clone, Copy)]
pub struct Look {
    /// Pixels.
    pub size: (u32, u32),
    /// Pixels of a letter's height.
    pub text: f64,
    /// Numbers along the bottom, at most.
    pub ticks: usize,
    pub ink: RGBColor,
    pub grid: RGBColor,
    /// Of the first series, the second and so on.
    pub colour: fn(usize) -> RGBColor,
    /// A picture that stands alone has paper, a title and a legend; else these are around it.
    pub alone: bool,
}

/// Colours that are told apart by most people who see few of them (Okabe and Ito 2008).
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

impl Look {
    /// Of a file that holds nothing but the picture.
    pub const FILE: Self = Self {
        size: (800, 500),
        text: 15.0,
        ticks: 10,
        ink: BLACK,
        grid: RGBColor(204, 204, 204),
        colour: |series| COLOURS[series % COLOURS.len()],
        alone: true,
    };
}
