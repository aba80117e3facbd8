//! Tables by trouble.

use super::Links;
use crate::model::{FindingKind, Severity};
use maud::{Markup, html};

/// What is open about one table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// `schema.table`.
    pub table: String,
    /// Open findings of each kind, with their severity.
    pub kinds: Vec<(FindingKind, Severity, u64)>,
}

impl Trouble {
    /// The worst first: critical ones, then all.
    pub fn weight(&self) -> (u64, u64) {
        let of = |wanted: fn(Severity) -> bool| {
            self.kinds.iter().filter(|(_, severity, _)| wanted(*severity)).map(|of| of.2).sum()
        };
        (of(|severity| severity == Severity::Critical), of(|_| true))
    }
}

/// Tables with open findings; each count leads to them on the status page.
pub fn trouble_table(tables: &[Trouble], links: Links) -> Markup {
    html! {
        @if tables.is_empty() {
            p.faint { "No table has an open finding." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Tables by trouble" {
                table {
                    thead { tr { th scope="col" { "Table" } th scope="col" { "Open findings" } } }
                    tbody {
                        @for of in tables {
                            tr {
                                th.mono scope="row" { (of.table) }
                                td { div.tags {
                                    @for (kind, severity, count) in &of.kinds {
                                        (kind_tag(*kind, *severity, *count, Some(&of.table), links))
                                    }
                                } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `3 write_conflict`, a link to these on the status page.
pub(super) fn kind_tag(
    kind: FindingKind,
    severity: Severity,
    count: u64,
    table: Option<&str>,
    links: Links,
) -> Markup {
    let class = format!("tag {}", severity.as_str());
    let text = html! { (count) " " (kind.as_str()) };
    match links {
        Links::Site => {
            let filter = super::Filter {
                kinds: vec![kind],
                table: table.map(str::to_owned),
                ..super::Filter::default()
            };
            html! { a class=(class) href=(filter.address()) { (text) } }
        }
        Links::File => html! { span class=(class) { (text) } },
    }
}
