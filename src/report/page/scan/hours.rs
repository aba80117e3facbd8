//! Conflicts by the hour of the day, as a picture.

use maud::{Markup, html};

/// Sizes, in pixels.
const WIDTH: usize = 1120;
const HEIGHT: usize = 110;
const LEFT: usize = 44;
const BELOW: usize = 22;
const ABOVE: usize = 8;

/// A bar for each hour, UTC.
pub(super) fn hours(of: &[u64; 24]) -> Markup {
    let most = of.iter().copied().max().unwrap_or(0).max(1);
    let total: u64 = of.iter().sum();
    let (floor, room) = (HEIGHT - BELOW, HEIGHT - BELOW - ABOVE);
    let left = |hour: usize| LEFT + hour * (WIDTH - LEFT) / of.len();
    // A single conflict beside thousands is still to be seen.
    let height = |count: u64| match count {
        0 => 0,
        count => (usize::try_from(u128::from(count) * room as u128 / u128::from(most)))
            .unwrap_or(room)
            .clamp(2, room),
    };
    html! {
        @if total == 0 { p.faint { "No conflicts." } } @else {
            div.scroll.card.chart tabindex="0" role="region"
                aria-label="Conflicts by hour of the day" {
                svg width=(WIDTH) height=(HEIGHT) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img"
                    aria-label={ (total) " conflicts by hour of the day" } {
                    line.axis x1=(LEFT) y1=(floor) x2=(WIDTH) y2=(floor) {}
                    line.axis x1=(LEFT) y1=(ABOVE) x2=(WIDTH) y2=(ABOVE) {}
                    text.faint x=(LEFT - 6) y=(ABOVE + 8) text-anchor="end" { (most) }
                    text.faint x=(LEFT - 6) y=(floor) text-anchor="end" { "0" }
                    @for (hour, count) in of.iter().enumerate() {
                        @let height = height(*count);
                        @if height > 0 {
                            rect.conflict x=(left(hour)) y=(floor - height)
                                width=(left(hour + 1) - left(hour) - 2) height=(height) {
                                title { (format!("{hour:02}:00")) ": " (count) " conflicts" }
                            }
                        }
                        @if hour % 3 == 0 {
                            text.faint x=(left(hour)) y=(HEIGHT - 6) { (format!("{hour:02}:00")) }
                        }
                    }
                }
            }
        }
    }
}
