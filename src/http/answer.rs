//! Answers that all pages share.

use crate::{
    report::page::{Markup, html, site_page},
    store::StoreError,
};
use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use serde_json::{Value, json};
use std::time::Duration;

/// Nothing from elsewhere, nothing inline: a value that found its way past the templates could
/// still do nothing.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// Headers that every answer has.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let is_static = request.uri().path().starts_with("/static/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let cache = if is_static { "max-age=300" } else { "no-store" };
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, cache),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// How long a form may take to come whole, and its answer to be made.
const FORM_WITHIN: Duration = Duration::from_secs(30);

/// Gives up forms that do not come.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let answer = tokio::time::timeout(FORM_WITHIN, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

/// A page.
pub(super) fn page(code: StatusCode, title: &str, parts: &Markup) -> Response {
    (code, Html(site_page(title, parts))).into_response()
}

/// What went wrong with a request, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    code: StatusCode,
    what: String,
    hint: String,
}

impl Problem {
    pub(super) fn new(code: StatusCode, what: &str, hint: &str) -> Problem {
        Problem { code, what: what.to_owned(), hint: hint.to_owned() }
    }

    /// As JSON, for programs.
    pub(super) fn json(&self) -> Response {
        json(self.code, &json!({"error": self.what, "hint": self.hint}))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        tracing::error!("{error}");
        let what = "The findings cannot be read now";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, what, &error.to_string())
    }
}

/// As a page, for people.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let parts = html! {
            section.verdict.warning {
                h1 { (self.what) }
                p { (self.hint) }
                p { a href="/" { "To the status page" } }
            }
        };
        page(self.code, &format!("twinlog: {}", self.what), &parts)
    }
}

/// A JSON value.
pub(super) fn json(code: StatusCode, value: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// No such page.
pub(super) async fn not_found(uri: Uri) -> Response {
    let hint = "The status page links to all there are.";
    let problem = Problem::new(StatusCode::NOT_FOUND, "There is no such page", hint);
    match uri.path().starts_with("/api/") {
        true => problem.json(),
        false => problem.into_response(),
    }
}
