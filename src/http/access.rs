//! Who may see pages.
//!
//! On loopback everybody who is on the machine may, but no page of another site that a browser
//! there has open: the name in `Host` has to be one of loopback's own, or a name that leads here
//! would do (DNS rebinding). On any other address the token is asked for. Browsers cannot send a
//! bearer token by themselves, so a form takes it and keeps it in a cookie.

use super::{
    Shared,
    answer::{Problem, page},
};
use crate::report::page::{escaped, html};
use axum::{
    Form,
    extract::{Query, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use std::{
    net::IpAddr,
    sync::{PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};
use subtle::ConstantTimeEq;

/// How long a wrong token waits for its answer.
const WRONG_TOKEN_DELAY: Duration = Duration::from_secs(1);
const COOKIE: &str = "twinlog_token";

/// Who may see pages.
pub struct Access {
    who: RwLock<Who>,
    /// The listener is protected: the cookie goes nowhere else.
    has_tls: bool,
}

enum Who {
    /// Everybody on this machine: twinlog listens on loopback.
    Loopback,
    /// Who has the token.
    Token(Vec<u8>),
    /// Nobody: there is no token.
    Closed,
}

impl Access {
    /// The access that an address and a token ask for.
    pub fn new(listen: IpAddr, token: Option<&str>, has_tls: bool) -> Access {
        let who = match listen.is_loopback() {
            true => Who::Loopback,
            false => Who::of(token),
        };
        Access { who: RwLock::new(who), has_tls }
    }

    /// Takes another token, or none; says whether it is another. On loopback nothing changes.
    pub fn set_token(&self, token: Option<&str>) -> bool {
        let mut who = self.who.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(*who, Who::Loopback) {
            return false;
        }
        let new = Who::of(token);
        let is_another = match (&*who, &new) {
            (Who::Token(old), Who::Token(new)) => !bool::from(old.ct_eq(new)),
            (Who::Closed, Who::Closed) => false,
            _ => true,
        };
        *who = new;
        is_another
    }

    fn is_token(&self, given: &[u8]) -> bool {
        match &*self.who() {
            // In a time that does not tell how many bytes were right.
            Who::Token(token) => token.as_slice().ct_eq(given).into(),
            Who::Loopback | Who::Closed => false,
        }
    }

    fn who(&self) -> RwLockReadGuard<'_, Who> {
        self.who.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why this request gets no page.
    fn refused(&self, headers: &HeaderMap) -> Option<Refused> {
        match &*self.who() {
            Who::Loopback if is_loopback_host(headers) => None,
            Who::Loopback => Some(Refused::Told(
                "This name is not known here",
                "On loopback the pages are at 127.0.0.1 or localhost only. For another name or a \
                 proxy, set watch.listen to another address, and watch.token_file.",
            )),
            Who::Closed => Some(Refused::Told(
                "The pages are closed",
                "twinlog listens on an address that is not loopback, and has no token: set \
                 watch.token_file. /metrics, /healthz and /readyz are open.",
            )),
            Who::Token(right) => {
                let given = bearer(headers).or_else(|| cookie(headers));
                let is_right = given.is_some_and(|given| right.as_slice().ct_eq(&given).into());
                (!is_right).then_some(Refused::NoToken)
            }
        }
    }
}

impl Who {
    fn of(token: Option<&str>) -> Who {
        token.map_or(Who::Closed, |token| Who::Token(token.as_bytes().to_vec()))
    }
}

/// Why there is no page.
enum Refused {
    /// The token is missing, or wrong.
    NoToken,
    /// What is wrong, and what to do.
    Told(&'static str, &'static str),
}

/// Lets a request through to a page, or tells why not.
pub(super) async fn check(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let is_api = request.uri().path().starts_with("/api/");
    let answer = |problem: Problem| match is_api {
        true => problem.json(),
        false => problem.into_response(),
    };
    if request.method() == Method::POST && !is_same_origin(headers) {
        let what = "This form came from another site";
        let hint = "Open the status page and try again.";
        return Problem::new(StatusCode::FORBIDDEN, what, hint).into_response();
    }
    match shared.access.refused(headers) {
        None => next.run(request).await,
        Some(Refused::NoToken) => ask_for_token(&request),
        Some(Refused::Told(what, hint)) => answer(Problem::new(StatusCode::FORBIDDEN, what, hint)),
    }
}

/// Where nobody has a token, there is no form for it either.
pub(super) async fn unless_closed(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let is_closed = matches!(*shared.access.who(), Who::Closed);
    match shared.access.refused(request.headers()) {
        Some(Refused::Told(what, hint)) if is_closed => {
            Problem::new(StatusCode::FORBIDDEN, what, hint).into_response()
        }
        _ => next.run(request).await,
    }
}

/// A person gets the form, a program the answer that it knows.
fn ask_for_token(request: &Request) -> Response {
    let uri = request.uri();
    if !uri.path().starts_with("/api/") && request.method() == Method::GET {
        let to = uri.path_and_query().map_or("/", |to| to.as_str());
        return Redirect::to(&format!("/login?to={}", escaped(to))).into_response();
    }
    let hint = "give Authorization: Bearer, with what is in watch.token_file";
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong", hint);
    ([(header::WWW_AUTHENTICATE, "Bearer")], problem.json()).into_response()
}

/// `Authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii().to_vec())
}

/// The token in hex: it may have any letters.
fn cookie(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::COOKIE)?.to_str().ok()?;
    let cookies = value.split(';').filter_map(|of| of.trim().split_once('='));
    let (_, token) = cookies.into_iter().find(|(name, _)| *name == COOKIE)?;
    let digits = token.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

/// The page was asked for by a name of loopback.
fn is_loopback_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The form was on one of our pages, or no browser sent it.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    match (text(header::HeaderName::from_static("sec-fetch-site")), text(header::ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && host == text(header::HOST)
        }
        (None, None) => true,
    }
}

/// The form that asks for the token.
pub(super) async fn login_page(Query(next): Query<Destination>) -> Response {
    form(StatusCode::OK, &next.to, None)
}

fn form(code: StatusCode, to: &str, mistake: Option<&str>) -> Response {
    let parts = html! {
        h1 { "twinlog asks for its token" }
        p { "It is in the file that watch.token_file names, on the machine where twinlog runs." }
        @if let Some(mistake) = mistake { p.tag.warning role="alert" { (mistake) } }
        form.note method="post" action="/login" {
            input type="hidden" name="to" value=(to);
            label { "Token"
                input type="password" name="token" required autocomplete="current-password"
                    size="40";
            }
            button type="submit" { "Open" }
        }
    };
    page(code, "twinlog: token", &parts)
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Login {
    token: String,
    #[serde(default)]
    to: String,
}

/// Where to go with the token.
#[derive(Deserialize)]
pub(super) struct Destination {
    #[serde(default)]
    to: String,
}

/// A page of this site, whatever was asked for.
fn local(to: &str) -> &str {
    let is_local = to.starts_with('/') && !to.starts_with("//") && !to.contains('\\');
    if is_local && !to.starts_with("/events") { to } else { "/" }
}

/// Takes the token.
pub(super) async fn login(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Form(login): Form<Login>,
) -> Response {
    if !is_same_origin(&headers) || !shared.access.is_token(login.token.as_bytes()) {
        tokio::time::sleep(WRONG_TOKEN_DELAY).await;
        return form(StatusCode::UNAUTHORIZED, &login.to, Some("That is not the token."));
    }
    let hex: String = login.token.bytes().map(|byte| format!("{byte:02x}")).collect();
    let secure = if shared.access.has_tls { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={hex}; Path=/; HttpOnly; SameSite=Lax{secure}");
    ([(header::SET_COOKIE, cookie)], Redirect::to(local(&login.to))).into_response()
}
