//! The status page, and a page for each finding.

use super::{
    Desk, Explained, Shared,
    answer::{self, Problem},
    findings::LISTED,
    query::{self, AskedOrNot},
};
use crate::{
    report::page::{
        Filter, FindingPage, NoteForm, Overview, RANGES, SCRIPT, STYLE, finding_page, overview_page,
    },
    store::Kept,
};
use axum::{
    Form,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Findings on a page.
const PAGE: usize = 50;
/// How long a page waits for the servers to show rows.
const PATIENCE: Duration = Duration::from_secs(5);
/// Hex digits of an id that are needed at least.
const ID_DIGITS_MIN: usize = 4;

pub(super) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

pub(super) async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)
}

pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// Pages that are made at once. What was begun goes on when nobody waits for it any more, so that
/// without a limit a stranger could pile up any number.
static MAKING: Semaphore = Semaphore::const_new(8);

/// Runs what waits for disks or servers where it holds nobody up.
pub(super) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let permit = MAKING.acquire().await;
    let work = move || {
        let made = work();
        drop(permit);
        made
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!("a page could not be made: {error}");
        let hint = "The log of twinlog says more. Please report this.";
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "This page could not be made", hint))
    })
}

pub(super) async fn overview(State(shared): State<Shared>, asked: AskedOrNot) -> Response {
    let status = shared.status.borrow().clone();
    let made = apart(move || {
        let (filter, mistake) = match query::asked(asked).and_then(|of| of.filter(&LISTED)) {
            Ok(filter) => (filter, None),
            Err(mistake) => (Filter::default(), Some(mistake)),
        };
        let range = filter.range.unwrap_or(RANGES[1].0);
        let (findings, now, news) = (&shared.findings, now(), *shared.news.borrow());
        let overall = findings.overall(range, news, now)?;
        let list = findings.listed(&filter, PAGE, now)?;
        let parts = overview_page(&Overview {
            status: &status,
            counts: &overall.counts,
            timeline: &overall.timeline,
            range,
            tables: &overall.tables,
            more_tables: overall.more_tables,
            filter: &filter,
            list: &list,
            mistake: mistake.as_deref(),
            forgets: findings.forgets,
        });
        let code = if mistake.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        Ok(answer::page(code, &title(&overall.counts), &parts))
    });
    made.await.into_response()
}

fn title(counts: &crate::report::page::Counted) -> String {
    use crate::model::{Severity, State};
    match counts.of(State::Open, Severity::Critical) {
        0 => "twinlog".to_owned(),
        count => format!("({count}) twinlog"),
    }
}

/// The one finding whose id begins so.
pub(super) fn the_finding(shared: &Shared, id: &str) -> Result<Kept, Problem> {
    let is_hex = id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || !(ID_DIGITS_MIN..=32).contains(&id.len()) {
        let hint = "An id is 32 hex digits; the first 4 or more will do.";
        return Err(Problem::new(StatusCode::NOT_FOUND, "This is no id of a finding", hint));
    }
    let mut found = shared.findings.find(id, now())?;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => {
            let hint = "It may have been deleted after watch.retention.";
            Err(Problem::new(StatusCode::NOT_FOUND, "There is no such finding", hint))
        }
        _ => {
            let what = "More than one finding's id begins so";
            Err(Problem::new(StatusCode::NOT_FOUND, what, "Give more of its digits."))
        }
    }
}

pub(super) async fn finding(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let looked = shared.clone();
    let asked = id.clone();
    match apart(move || the_finding(&looked, &asked)).await {
        Ok(kept) if kept.place.id == id => show(&shared, &kept, None).await.into_response(),
        Ok(kept) => Redirect::to(&format!("/findings/{}", kept.place.id)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// The rows come from the servers, and may not: then the page is there without them.
async fn explained(shared: &Shared, record: &Value) -> Result<Explained, Problem> {
    let (desk, given) = (shared.desk.clone(), record.clone());
    let rows = async {
        // The permit goes with the work, which goes on when nobody waits for it any more.
        let permit = shared.explaining.clone().acquire_owned().await.ok()?;
        let work = move || {
            let explained = desk.explain(&given);
            drop(permit);
            explained
        };
        tokio::task::spawn_blocking(work).await.ok()
    };
    let explained = match tokio::time::timeout(PATIENCE, rows).await {
        Ok(Some(explained)) => explained,
        Ok(None) | Err(_) => {
            let seconds = PATIENCE.as_secs();
            let why = format!(
                "The servers have not shown the rows within {seconds} s. The page tries again when \
                 it is loaded again; the commands below do without it."
            );
            let (desk, given) = (shared.desk.clone(), record.clone());
            let work = move || desk.outline(&given, &why);
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
        }
    };
    explained.map_err(|why| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "It cannot be explained", &why)
    })
}

async fn show(shared: &Shared, kept: &Kept, mistake: Option<&str>) -> Result<Response, Problem> {
    let record = kept.told();
    let Explained { explanation, rows, repairs, commands } = explained(shared, &record).await?;
    let parts = finding_page(&FindingPage {
        record: &record,
        explanation: &explanation,
        rows,
        repairs: &repairs,
        commands: &commands,
        note: Some(NoteForm { mistake }),
    });
    let word = |field: &str| record[field].as_str().unwrap_or_default();
    let title = format!("{} {} - twinlog", word("kind"), word("table"));
    let code = if mistake.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Ok(answer::page(code, &title, &parts))
}

/// From the address of a form that was sent to its page: that is what a person reloads.
pub(super) async fn back(Path(id): Path<String>) -> Redirect {
    Redirect::to(&format!("/findings/{id}"))
}

/// What the form of a finding's page sends.
#[derive(Deserialize)]
pub(super) struct Note {
    by: String,
    why: String,
    #[serde(default)]
    until: String,
}

pub(super) async fn acknowledge(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Form(note): Form<Note>,
) -> Response {
    let [by, why, until] = [note.by, note.why, note.until].map(|text| text.trim().to_owned());
    noted(shared, id, move |desk, id| desk.acknowledge(id, &by, &why, &until)).await
}

pub(super) async fn withdraw(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    noted(shared, id, |desk, id| desk.withdraw(id)).await
}

/// Does something about a finding's note, and shows the finding again.
async fn noted(
    shared: Shared,
    id: String,
    note: impl FnOnce(&dyn Desk, &str) -> Result<(), String> + Send + 'static,
) -> Response {
    let at = shared.clone();
    let made = apart(move || {
        let kept = the_finding(&at, &id)?;
        let done = note(at.desk.as_ref(), &kept.place.id);
        Ok((kept, done))
    });
    match made.await {
        Ok((kept, Ok(()))) => {
            shared.news.send_modify(|news| *news += 1);
            Redirect::to(&format!("/findings/{}", kept.place.id)).into_response()
        }
        Ok((kept, Err(mistake))) => show(&shared, &kept, Some(&mistake)).await.into_response(),
        Err(problem) => problem.into_response(),
    }
}
