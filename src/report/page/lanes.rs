//! Both orders as a picture: a lane for each stream, its transactions from left to right, and a
//! line between the two places of each transaction. Lines that cross are what a conflict is.

use super::NODE_COLOURS;
use crate::report::{Explanation, StreamOrder, TransactionView};
use maud::{Markup, html};

/// Transactions of a lane that are drawn; a finding is about two, rarely more.
const DRAWN_MAX: usize = 8;
/// Sizes, in pixels: a box, the gap after it, a lane's height, and the room for lanes' names.
const BOX: (usize, usize) = (196, 46);
const GAP: usize = 34;
const LANE: usize = 104;
const NAMES: usize = 84;
const TOP: usize = 8;
/// Letters of a GTID that fit into a box.
const GTID_LETTERS: usize = 27;

/// A transaction's place in the picture.
struct Place {
    transaction: usize,
    left: usize,
    top: usize,
    is_shown: bool,
}

/// The order of the finding's transactions in each stream; nothing where it is about none.
pub fn lanes(of: &Explanation) -> Markup {
    if of.transactions.is_empty() || of.streams.is_empty() {
        return html! {};
    }
    let lanes: Vec<Vec<Place>> = of.streams.iter().enumerate().map(place).collect();
    let longest = lanes.iter().map(Vec::len).max().unwrap_or(0);
    // The last lane has none below it.
    let height = (of.streams.len() - 1) * LANE + BOX.1 + 2 * TOP;
    let width = NAMES + longest * (BOX.0 + GAP);
    html! {
        div.scroll.card tabindex="0" role="region" aria-label="The order in each stream" {
            svg width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } role="img"
                aria-label=(in_words(of)) {
                @for (upper, lower) in lanes.iter().zip(lanes.iter().skip(1)) {
                    (links(of, upper, lower))
                }
                @for (at, (stream, lane)) in of.streams.iter().zip(&lanes).enumerate() {
                    @let top = TOP + at * LANE;
                    text.strong x="0" y=(top + 20) { "in " (stream.node) }
                    text.faint x="0" y=(top + 38) { "first to last" }
                    @for place in lane { (drawn(of, &stream.node, place)) }
                }
            }
            ul.legend {
                li { (sample("box stroke-0")) "committed on this node" }
                li { (sample("box copy stroke-0")) "applied here from another node" }
                @if lanes.iter().flatten().any(|place| !place.is_shown) {
                    li { (sample("box missing")) "not shown by this stream" }
                }
                @if of.streams.iter().any(|stream| stream.shown.len() > DRAWN_MAX) {
                    li { "the first " (DRAWN_MAX) " are drawn" }
                }
            }
        }
    }
}

fn place((at, stream): (usize, &StreamOrder)) -> Vec<Place> {
    let shown = stream.shown.iter().map(|step| (step.transaction, true));
    let all = shown.chain(stream.not_shown.iter().map(|transaction| (*transaction, false)));
    let places = all.take(DRAWN_MAX).enumerate().map(|(step, (transaction, is_shown))| Place {
        transaction,
        left: NAMES + step * (BOX.0 + GAP),
        top: TOP + at * LANE,
        is_shown,
    });
    places.collect()
}

/// A node's colour by its place among the streams, which are in the order of names.
fn colour(of: &Explanation, origin: Option<&str>) -> usize {
    let place = of.streams.iter().position(|stream| Some(stream.node.as_str()) == origin);
    place.unwrap_or(of.streams.len()) % NODE_COLOURS
}

fn links(of: &Explanation, upper: &[Place], lower: &[Place]) -> Markup {
    let pairs = upper.iter().filter_map(|up| {
        let down = lower.iter().find(|down| down.transaction == up.transaction)?;
        (up.is_shown && down.is_shown).then_some((up, down))
    });
    html! {
        @for (up, down) in pairs {
            @let (x1, y1) = (up.left + BOX.0 / 2, up.top + BOX.1);
            @let (x2, y2) = (down.left + BOX.0 / 2, down.top);
            @let middle = (y1 + y2) / 2;
            @let origin = of.transactions[up.transaction].origin.as_deref();
            @let curve = format!("M{x1} {y1} C{x1} {middle} {x2} {middle} {x2} {y2}");
            path class={ "link stroke-" (colour(of, origin)) } d=(curve) {}
        }
    }
}

fn drawn(of: &Explanation, lane: &str, place: &Place) -> Markup {
    let transaction = &of.transactions[place.transaction];
    let origin = transaction.origin.as_deref();
    let class = match (place.is_shown, origin == Some(lane)) {
        (false, _) => "box missing".to_owned(),
        (true, true) => format!("box stroke-{}", colour(of, origin)),
        (true, false) => format!("box copy stroke-{}", colour(of, origin)),
    };
    html! {
        rect class=(class) x=(place.left + 1) y=(place.top + 1) width=(BOX.0 - 2)
            height=(BOX.1 - 2) rx="6" {}
        text.strong x=(place.left + 10) y=(place.top + 19) {
            (place.transaction + 1) ". " (origin.unwrap_or("unknown server")) ": "
            (done(transaction))
        }
        text.faint x=(place.left + 10) y=(place.top + 36) {
            @if place.is_shown { (short(transaction.gtid.as_deref().unwrap_or("no GTID"))) }
            @else { "not shown" }
        }
    }
}

fn done(transaction: &TransactionView) -> &str {
    transaction.operation.as_deref().unwrap_or("write")
}

/// A GTID with its end whole, where transactions of one server differ.
fn short(gtid: &str) -> String {
    let letters = gtid.chars().count();
    match letters > GTID_LETTERS {
        true => {
            let end: String = gtid.chars().skip(letters - (GTID_LETTERS - 9)).collect();
            format!("{}…{end}", gtid.chars().take(8).collect::<String>())
        }
        false => gtid.to_owned(),
    }
}

fn sample(class: &str) -> Markup {
    html! {
        svg width="26" height="14" aria-hidden="true" {
            rect class=(class) x="1" y="1" width="24" height="12" rx="3" {}
        }
    }
}

/// The picture for those who do not see it.
fn in_words(of: &Explanation) -> String {
    let stream = |stream: &StreamOrder| {
        let shown = stream.shown.iter().map(|step| {
            let transaction = &of.transactions[step.transaction];
            let origin = transaction.origin.as_deref().unwrap_or("an unknown server");
            let gtid = transaction.gtid.as_deref().unwrap_or("without a GTID");
            format!("{} by {origin}, {gtid}", done(transaction))
        });
        let shown: Vec<String> = shown.collect();
        let shown = if shown.is_empty() { "nothing".to_owned() } else { shown.join("; then ") };
        format!("In {}: {shown}", stream.node)
    };
    of.streams.iter().map(stream).collect::<Vec<_>>().join(". ")
}
