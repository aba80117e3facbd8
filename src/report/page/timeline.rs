//! Findings over time, as a picture.

use super::seconds;
use crate::model::{CommitTime, FindingKind};
use maud::{Markup, html};

/// Kinds of findings that are one colour in the picture.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// Write conflicts, and definitions against writes.
    Conflict,
    /// Rows that differ.
    Divergence,
    /// Writes of what another node owns.
    Ownership,
    /// Copies that are missing, loops, unknown servers.
    Replication,
    /// Blind spots.
    Blind,
    /// Handovers: worth knowing, and no harm.
    Handover,
}

impl Class {
    /// All classes, in the order in which they are piled up.
    pub const ALL: [Class; 6] = [
        Class::Conflict,
        Class::Divergence,
        Class::Ownership,
        Class::Replication,
        Class::Blind,
        Class::Handover,
    ];

    /// The class of a kind.
    pub fn of(kind: FindingKind) -> Class {
        match kind {
            FindingKind::WriteConflict | FindingKind::DdlConflict => Class::Conflict,
            FindingKind::Divergence => Class::Divergence,
            FindingKind::TableOwnership | FindingKind::RowOwnership => Class::Ownership,
            FindingKind::MissingCopy
            | FindingKind::ReplicationLoop
            | FindingKind::UnknownOrigin => Class::Replication,
            FindingKind::BlindSpot => Class::Blind,
            FindingKind::SharedKey | FindingKind::NearConflict => Class::Handover,
        }
    }

    fn style(self) -> &'static str {
        match self {
            Class::Conflict => "conflict",
            Class::Divergence => "divergence",
            Class::Ownership => "ownership",
            Class::Replication => "replication",
            Class::Blind => "blind",
            Class::Handover => "handover",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Class::Conflict => "conflicts",
            Class::Divergence => "rows that differ",
            Class::Ownership => "ownership",
            Class::Replication => "replication",
            Class::Blind => "blind spots",
            Class::Handover => "handovers",
        }
    }
}

/// Findings by the time of the transaction that made them one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timeline {
    /// Where the first bar begins, in microseconds since the Unix epoch.
    pub start: i64,
    /// How much time a bar stands for, in microseconds; more than 0.
    pub step: i64,
    /// For each bar, how many of each class, in the order of [`Class::ALL`].
    pub bars: Vec<[u64; Class::ALL.len()]>,
}

impl Timeline {
    /// An empty one.
    pub fn new(start: i64, step: i64, bars: usize) -> Timeline {
        Timeline { start, step: step.max(1), bars: vec![[0; Class::ALL.len()]; bars] }
    }

    /// Counts findings; those before the first bar and after the last are left out.
    pub fn add(&mut self, kind: FindingKind, at: i64, count: u64) {
        let Some(after) = at.checked_sub(self.start).filter(|after| *after >= 0) else { return };
        let bar = usize::try_from(after / self.step).ok().and_then(|bar| self.bars.get_mut(bar));
        if let Some(bar) = bar {
            bar[Class::of(kind) as usize] += count;
        }
    }

    fn begin(&self, bar: usize) -> String {
        seconds(CommitTime::from_micros(self.start + self.step * bar as i64))
    }
}

/// Width of the picture, of the axis at its left, and its height, in pixels.
const WIDTH: usize = 1120;
const LEFT: usize = 44;
const HEIGHT: usize = 150;
/// Room below the bars, for times.
const BELOW: usize = 22;
/// Room above the bars.
const ABOVE: usize = 8;
/// Times written below.
const LABELS: usize = 6;

/// The timeline as bars, with a legend, and as a table for those who see no picture.
pub fn timeline(of: &Timeline) -> Markup {
    let total: u64 = of.bars.iter().flatten().sum();
    let used: Vec<Class> = Class::ALL
        .into_iter()
        .filter(|class| of.bars.iter().any(|bar| bar[*class as usize] > 0))
        .collect();
    let most = of.bars.iter().map(|bar| bar.iter().sum::<u64>()).max().unwrap_or(0).max(1);
    let label = format!(
        "{total} findings between {} and {}, by time",
        of.begin(0),
        of.begin(of.bars.len())
    );
    html! {
        div.scroll.card.chart tabindex="0" role="region" aria-label="Findings over time" {
            svg width=(WIDTH) height=(HEIGHT) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img"
                aria-label=(label) {
                (axes(of, most))
                @for (at, bar) in of.bars.iter().enumerate() { (pile(of, at, bar, most)) }
            }
            @if used.is_empty() { p.faint { "Nothing was found in this time." } }
            (legend(&used))
        }
    }
}

fn axes(of: &Timeline, most: u64) -> Markup {
    let floor = HEIGHT - BELOW;
    let labels = LABELS.min(of.bars.len().max(1));
    // Seconds only where bars are told apart by them.
    let letters = if of.step < 60_000_000 { 19 } else { 16 };
    html! {
        line.axis x1=(LEFT) y1=(floor) x2=(WIDTH) y2=(floor) {}
        line.axis x1=(LEFT) y1=(ABOVE) x2=(WIDTH) y2=(ABOVE) {}
        text.faint x=(LEFT - 6) y=(ABOVE + 8) text-anchor="end" { (most) }
        text.faint x=(LEFT - 6) y=(floor) text-anchor="end" { "0" }
        @for label in 0..labels {
            @let bar = label * of.bars.len() / labels;
            @let begin = of.begin(bar);
            text.faint x=(left(of, bar)) y=(HEIGHT - 6) {
                (begin.get(..letters).unwrap_or_default())
            }
        }
    }
}

fn left(of: &Timeline, bar: usize) -> usize {
    LEFT + bar * (WIDTH - LEFT) / of.bars.len().max(1)
}

/// One bar: classes piled up, each with what it is as its title.
fn pile(of: &Timeline, at: usize, bar: &[u64], most: u64) -> Markup {
    let room = (HEIGHT - BELOW - ABOVE) as u64;
    let (x, end) = (left(of, at), left(of, at + 1));
    let width = end.saturating_sub(x + 1).max(1);
    let mut top = (HEIGHT - BELOW) as u64;
    let mut parts = Vec::new();
    for (class, count) in Class::ALL.into_iter().zip(bar).filter(|(_, count)| **count > 0) {
        // A single finding beside thousands is still to be seen.
        let height = (count * room / most).max(2);
        top = top.saturating_sub(height).max(ABOVE as u64);
        parts.push((class, count, top, height));
    }
    html! {
        @for (class, count, top, height) in parts {
            rect class=(class.style()) x=(x) y=(top) width=(width) height=(height) {
                title { (of.begin(at)) ": " (count) " " (class.name()) }
            }
        }
    }
}

fn legend(classes: &[Class]) -> Markup {
    html! {
        ul.legend {
            @for class in classes {
                li {
                    svg width="12" height="12" aria-hidden="true" {
                        rect class=(class.style()) width="12" height="12" {}
                    }
                    (class.name())
                }
            }
        }
    }
}
