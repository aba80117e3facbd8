//! The same as the pages, as JSON.

use super::{
    Shared,
    answer::{Problem, json},
    pages::{apart, now, the_finding},
    query::{self, AskedOrNot},
};
use crate::model::State as FindingState;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

/// Findings in one answer, where the address does not say, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// Where the streams are.
pub(super) async fn status(State(shared): State<Shared>) -> Response {
    let status = shared.status.borrow().clone();
    json(StatusCode::OK, &serde_json::to_value(status.as_ref()).unwrap_or_default())
}

/// A part of the list, each finding by itself: `{"findings": [...], "next": "..."}`; `next` is what
/// `after` takes for the following part.
pub(super) async fn findings(State(shared): State<Shared>, asked: AskedOrNot) -> Response {
    let made = apart(move || {
        let states = [FindingState::Open, FindingState::Acknowledged];
        let wrong =
            |mistake: String| Problem::new(StatusCode::BAD_REQUEST, "no such filter", &mistake);
        let asked = query::asked(asked).map_err(wrong)?;
        let filter = asked.filter(&states).map_err(wrong)?;
        let limit = asked.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
        let part = shared.findings.list(&filter, false, limit, now())?;
        let findings: Vec<Value> = part.findings.iter().map(|of| of.kept.told()).collect();
        Ok(json!({"findings": findings, "next": part.next}))
    });
    told(made.await)
}

/// One finding.
pub(super) async fn finding(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    told(apart(move || Ok(the_finding(&shared, &id)?.told())).await)
}

fn told(made: Result<Value, Problem>) -> Response {
    match made {
        Ok(value) => json(StatusCode::OK, &value),
        Err(problem) => problem.json(),
    }
}
