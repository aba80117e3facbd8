//! Draws the live view.

use super::{Told, View, counts_text};
use crate::{
    model::{CommitTime, Severity},
    report::{
        OriginState, Status, StreamState, rfc3339,
        terminal::{clean, columns, cut, padded, wrapped},
    },
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Paragraph},
};

/// Columns of a stream's server.
const SERVER_WIDTH: usize = 22;
/// Columns of a stream's state: `connecting`.
const STATE_WIDTH: usize = 10;
/// Columns of an age: `119 min ago`.
const AGE_WIDTH: usize = 11;
/// Columns of a number of transactions.
const COUNT_WIDTH: usize = 8;
/// Lines of the log that are shown, and their frame.
const LOG_HEIGHT: u16 = 5;
/// Lines of a finding's message at most.
const MESSAGE_LINES_MAX: usize = 3;

/// Draws the view as it is at `now`, whatever size the terminal has.
pub fn draw(frame: &mut Frame<'_>, view: &View, now: CommitTime) {
    let area = frame.area();
    let width = usize::from(area.width.saturating_sub(2));
    let streams = view.status.as_ref().map_or_else(
        || vec![Line::raw("connecting to the servers")],
        |status| stream_lines(status, now, width),
    );
    let wanted = u16::try_from(streams.len()).unwrap_or(u16::MAX).saturating_add(2);
    // In a low window the findings keep a line; the log goes first.
    let log = if area.height >= 20 { LOG_HEIGHT } else { 0 };
    let [head, top, middle, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(wanted.min(area.height.saturating_sub(4 + log))),
        Constraint::Min(0),
        Constraint::Length(log),
    ])
    .areas(area);
    draw_head(frame, head, view, now);
    draw_block(frame, top, " Streams ", streams);
    let title = format!(" Findings: {} ", counts_text(&view.counts));
    let inside = middle.height.saturating_sub(2).into();
    draw_block(frame, middle, &cut(&title, width), finding_lines(view, width, inside));
    let lines = view.log.iter().rev().take(usize::from(LOG_HEIGHT - 2)).rev();
    let lines = lines.map(|line| Line::raw(cut(line, width)));
    draw_block(frame, bottom, " Log ", lines.collect());
}

fn draw_block(frame: &mut Frame<'_>, area: Rect, title: &str, lines: Vec<Line<'_>>) {
    let block = Block::default().borders(Borders::ALL).title(bold(title.to_owned()));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn bold(text: String) -> Span<'static> {
    Span::styled(text, Style::new().add_modifier(Modifier::BOLD))
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, view: &View, now: CommitTime) {
    let state = match view.status.as_deref() {
        None => "starting".to_owned(),
        Some(status) => {
            let ready = if status.ready { "ready" } else { "not ready" };
            format!("{ready}, up {}", duration(now.micros - status.started_at.micros))
        }
    };
    let (left, right) = (format!("twinlog watch  {}  {state}", view.config), "q ends");
    let width = usize::from(area.width);
    let left = padded(&left, width.saturating_sub(columns(right) + 1));
    frame.render_widget(Line::from(vec![bold(left), Span::raw(format!(" {right}"))]), area);
}

/// A head, then two or more lines a stream: where it is, what it has shown of the others, and why
/// it is not connected.
fn stream_lines(status: &Status, now: CommitTime, width: usize) -> Vec<Line<'static>> {
    let names = status.streams.iter().map(|of| columns(&of.node));
    let node_width = names.max().unwrap_or(0).clamp(4, 24);
    let places: Vec<String> = status.streams.iter().map(place).collect();
    let place_width = places.iter().map(|at| columns(at)).max().unwrap_or(0).clamp(2, 40);
    // The server comes last: in a narrow window it is what nobody misses.
    let row = |cells: [&str; 7]| {
        let widths =
            [node_width, STATE_WIDTH, place_width, AGE_WIDTH, COUNT_WIDTH, AGE_WIDTH, SERVER_WIDTH];
        let cells = cells.iter().zip(widths).map(|(cell, width)| padded(&clean(cell), width));
        cut(cells.collect::<Vec<_>>().join(" ").trim_end(), width)
    };
    let head = ["NODE", "STATE", "AT", "DELAY", "PENDING", "VERIFIED", "SERVER"];
    let dim = Style::new().add_modifier(Modifier::DIM);
    let mut lines = vec![Line::styled(row(head), dim)];
    for (stream, at) in status.streams.iter().zip(&places) {
        let origin = status.origins.iter().find(|of| of.node == stream.node);
        let state = match (stream.connected, stream.begun) {
            (true, true) => "connected",
            (true, false) => "starting",
            (false, _) if stream.error.is_some() => "LOST",
            (false, _) => "connecting",
        };
        let delay = stream.delay_seconds.map_or_else(|| "-".to_owned(), seconds);
        let pending = origin.map_or_else(|| "-".to_owned(), |of| of.pending.to_string());
        let verified = age(origin.and_then(|of: &OriginState| of.verified_until), now);
        let text = row([&stream.node, state, at, &delay, &pending, &verified, &stream.server]);
        let style =
            if stream.connected { Style::new() } else { severity_style(Severity::Critical) };
        lines.push(Line::styled(text, style));
        let shown = stream.shown.iter().filter(|of| of.origin.as_ref() != Some(&stream.node));
        for of in shown {
            let origin = of.origin.as_deref().unwrap_or("unknown servers");
            let last = match (&of.gtid, of.committed_at) {
                (None, None) => "nothing yet".to_owned(),
                (gtid, at) => {
                    let gtid = gtid.as_deref().unwrap_or("without a GTID");
                    let many = if of.transactions == 1 { "" } else { "s" };
                    let age = age(at, now);
                    format!("{} transaction{many}, last {gtid}, {age}", of.transactions)
                }
            };
            lines.push(Line::styled(cut(&clean(&format!("  of {origin}: {last}")), width), dim));
        }
        if let Some(error) = stream.error.as_ref().filter(|_| !stream.connected) {
            let error = error.split('\n').map(str::trim).collect::<Vec<_>>().join("; ");
            let error = wrapped(&clean(&error), width.saturating_sub(2).max(1));
            let error = error.into_iter().take(MESSAGE_LINES_MAX);
            lines.extend(error.map(|line| Line::styled(format!("  {line}"), style)));
        }
    }
    lines
}

fn place(stream: &StreamState) -> String {
    match &stream.at {
        Some(at) => format!("{}:{}", clean(&at.file), at.end),
        None => "-".to_owned(),
    }
}

/// The newest findings, the newest first, as many as there is room for.
fn finding_lines(view: &View, width: usize, height: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if view.findings.is_empty() {
        lines.push(Line::raw("nothing found since the start"));
    }
    for told in view.findings.iter().rev() {
        if lines.len() >= height {
            break;
        }
        lines.extend(finding(told, width));
    }
    lines
}

fn finding(told: &Told, width: usize) -> Vec<Line<'static>> {
    let time = rfc3339(CommitTime { whole_seconds: true, ..told.last_seen });
    let time = time.get(11..19).unwrap_or_default().to_owned();
    let severity = padded(&told.severity.as_str().to_uppercase(), 8);
    let start = match told.state {
        "" => told.kind.as_str().to_owned(),
        state => format!("{} {state}", told.kind.as_str()),
    };
    let mut lines = vec![Line::from(vec![
        Span::raw(format!("{time} ")),
        Span::styled(severity, severity_style(told.severity)),
        bold(format!(" {}", cut(&start, width.saturating_sub(18)))),
    ])];
    let message = wrapped(&told.message, width.saturating_sub(2).max(1));
    lines.extend(
        message.into_iter().take(MESSAGE_LINES_MAX).map(|line| Line::raw(format!("  {line}"))),
    );
    lines
}

/// As in the text form of findings; nothing is told by colour alone.
fn severity_style(severity: Severity) -> Style {
    let colour = match severity {
        Severity::Critical => Color::Red,
        Severity::Warning => Color::Yellow,
        Severity::Info => Color::Cyan,
    };
    Style::new().fg(colour).add_modifier(Modifier::BOLD)
}

/// `0.3 s`, `12 s`, `5 min`.
fn seconds(of: f64) -> String {
    match of {
        of if of < 10.0 => format!("{of:.1} s"),
        of => duration((of * 1e6) as i64),
    }
}

/// `12 s ago`; `-` where it is not known.
fn age(at: Option<CommitTime>, now: CommitTime) -> String {
    at.map_or_else(|| "-".to_owned(), |at| format!("{} ago", duration(now.micros - at.micros)))
}

/// In the biggest unit that fits, whole. A clock that is ahead counts as none.
fn duration(micros: i64) -> String {
    match micros.max(0) / 1_000_000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}
