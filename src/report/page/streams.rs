//! The pair at a glance: each stream, and what it has shown of the others.

use super::{node, time};
use crate::report::{Memory, Status, StreamState};
use maud::{Markup, html};

/// One card for each stream, and one line for each origin.
pub fn streams(status: &Status) -> Markup {
    html! {
        div.cards {
            @for (at, stream) in status.streams.iter().enumerate() { (card(status, stream, at)) }
        }
        (origins(status))
        (memory(&status.memory))
    }
}

/// What is held, against its bound; nothing where that is not known.
fn memory(of: &Memory) -> Markup {
    let (held, limit) = (size(of.held_bytes), size(of.limit_bytes));
    let high = of.limit_bytes / 4 * 3;
    html! {
        @if of.limit_bytes > 0 {
            p.memory {
                span.faint { "Held in memory" }
                meter max=(of.limit_bytes) high=(high) value=(of.held_bytes)
                    aria-label="Held in memory" {}
                span { (held) " of " (limit) }
                @if of.nearly_full {
                    span.tag.warning { "nearly full: the stream that is ahead waits" }
                }
            }
        }
    }
}

/// Bytes for people: `0 B`, `12.3 MiB`, `1 GiB`.
fn size(bytes: usize) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 1)) > 0 {
        unit += 1;
    }
    let tenths = (bytes as f64 / (1_u64 << (10 * unit)) as f64 * 10.0).floor() as u64;
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {}", UNITS[unit]),
        (whole, tenth) => format!("{whole}.{tenth} {}", UNITS[unit]),
    }
}

fn card(status: &Status, of: &StreamState, at: usize) -> Markup {
    html! {
        section.card aria-label={ "Stream of " (of.node) } {
            h3 { (node(&of.node, at)) " " (state(status, of)) }
            dl.facts {
                dt { "Server" }
                dd { @if of.server.is_empty() { "has not answered yet" } @else { (of.server) } }
                dt { "Read to" }
                dd.mono {
                    @match &of.at {
                        Some(at) => { (at.file) ":" (at.end) },
                        None => "nothing written since the start",
                    }
                }
                @if let Some(newest) = of.newest { dt { "Last commit" } dd { (time(newest)) } }
                @for shown in &of.shown {
                    @let name = shown.origin.as_deref();
                    @if name != Some(of.node.as_str()) {
                        dt { "Shows of " (number(status, name)) }
                        dd { (shown_to(shown)) }
                    }
                }
                @let wrong: Vec<_> = of.checks.iter().filter(|check| !check.ok).collect();
                @if !wrong.is_empty() {
                    dt { "Settings" }
                    dd.tags {
                        @for check in wrong {
                            span.tag.warning { (check.name) "=" (check.found) }
                        }
                    }
                }
                @if let Some(error) = &of.error { dt { "Error" } dd { (error) } }
            }
        }
    }
}

fn number(status: &Status, name: Option<&str>) -> Markup {
    match name {
        Some(name) => {
            let at = status.streams.iter().position(|of| of.node == name).unwrap_or(0);
            node(name, at)
        }
        None => html! { "unknown servers" },
    }
}

fn shown_to(of: &crate::report::Shown) -> Markup {
    html! {
        @match (&of.gtid, of.committed_at) {
            (Some(gtid), Some(at)) => { "up to " span.mono { (gtid) } ", committed " (time(at)) },
            (None, Some(at)) => { "committed " (time(at)) },
            _ => span.faint { "nothing since the start" },
        }
    }
}

fn state(status: &Status, of: &StreamState) -> Markup {
    html! {
        @match (of.connected, of.begun) {
            _ if status.waits_for.as_ref() == Some(&of.node) => {
                span.tag.critical { "waited for" }
            }
            _ if status.waits_for.is_some() && !of.server.is_empty() => {
                span.tag.warning { "has answered" }
            }
            (true, true) => span.tag.good { "connected" },
            (true, false) => span.tag.warning { "connected, not begun" },
            (false, _) => span.tag.critical { "not connected" },
        }
    }
}

/// How far each node's writes are verified.
fn origins(status: &Status) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Verified until" {
            table {
                thead { tr {
                    th scope="col" { "Writes of" }
                    th scope="col" { "Verified until" }
                    th.number scope="col" { "Not shown everywhere yet" }
                    th.number scope="col" { "Copies identical" }
                    th.number scope="col" { "Copies that differ" }
                    th.number scope="col" { "Not comparable" }
                } }
                tbody { @for (at, of) in status.origins.iter().enumerate() { tr {
                    th scope="row" { (node(&of.node, at)) }
                    td { @match of.verified_until { Some(at) => (time(at)), None => "not begun" } }
                    td.number { (of.pending) }
                    td.number { (of.identical) }
                    td.number { (of.differs) }
                    td.number { (of.unverifiable) }
                } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        let sizes = [0, 1023, 1024, 1536, (12 << 20) + (1 << 18), 1 << 30, (1 << 40) - 1];
        let texts = ["0 B", "1023 B", "1 KiB", "1.5 KiB", "12.2 MiB", "1 GiB", "1023.9 GiB"];
        assert_eq!(sizes.map(size), texts);
    }

    #[test]
    fn what_is_held_stands_beside_its_bound() {
        let of = |held, nearly_full| {
            memory(&Memory { held_bytes: held, limit_bytes: 1 << 30, nearly_full }).into_string()
        };
        let calm = of(3 << 20, false);
        assert!(calm.contains("3 MiB of 1 GiB") && !calm.contains("nearly full"), "{calm}");
        assert!(of(900 << 20, true).contains("nearly full"));
        assert_eq!(memory(&Memory::default()).into_string(), "", "a page of no watch");
    }
}
