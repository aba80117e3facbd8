//! The pages over HTTP, with findings in a store in memory.

use super::*;
use crate::{
    model::{Certainty, FindingKind, Node, Nodes, Severity, State},
    report::StreamState,
    store::{Acknowledgement, Batch, Store, StoredFinding},
};
use axum::{
    body::{Body, to_bytes},
    http::Request,
    response::Response,
};
use futures_util::StreamExt;
use serde_json::json;
use std::sync::{Mutex, PoisonError};
use tower::ServiceExt;

/// A desk that proves nothing, and keeps notes in the store.
struct Plain(Arc<Mutex<Store>>);

impl Desk for Plain {
    fn explain(&self, record: &Value) -> Result<Explained, String> {
        let explanation = Explanation::of(record);
        let rows = Rows::Hidden("no rows here".to_owned());
        Ok(Explained { explanation, rows, repairs: Vec::new(), commands: Vec::new() })
    }

    fn outline(&self, record: &Value, _: &str) -> Result<Explained, String> {
        self.explain(record)
    }

    fn acknowledge(&self, id: &str, by: &str, why: &str, _: &str) -> Result<(), String> {
        if by.is_empty() {
            return Err("Say your name.".to_owned());
        }
        let ack = Acknowledgement { by: by.to_owned(), why: why.to_owned(), at: 1, until: None };
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        store.acknowledge(id, &ack).map(drop).map_err(|error| error.to_string())
    }

    fn withdraw(&self, id: &str) -> Result<(), String> {
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        store.remove_acknowledgement(id).map(drop).map_err(|error| error.to_string())
    }
}

fn finding(number: u8, kind: FindingKind, table: &str) -> StoredFinding {
    let id = format!("{number:02x}").repeat(16);
    let last_seen = 1_000_000 * i64::from(number);
    let record = json!({
        "id": id, "kind": kind.as_str(), "severity": "critical", "certainty": "exact",
        "state": "open", "table": table, "key": {"id": number}, "group": id, "more": 0,
        "message": format!("message {number}"), "last_seen": "1970-01-01T00:00:01Z",
        "transactions": [],
    });
    StoredFinding {
        kind,
        severity: Severity::Critical,
        certainty: Certainty::Exact,
        state: State::Open,
        outcome: None,
        settled: false,
        table: Some(table.to_owned()),
        key: None,
        group: id.clone(),
        more: 0,
        first_seen: last_seen,
        last_seen,
        healed_at: None,
        record: record.to_string(),
        id,
    }
}

fn site(access: Access, findings: Vec<StoredFinding>) -> Router {
    site_with(access, findings, watch::Sender::new(0))
}

fn site_with(access: Access, findings: Vec<StoredFinding>, news: watch::Sender<u64>) -> Router {
    let mut store = Store::in_memory().unwrap();
    store.commit(&Batch { now: 1, findings, ..Batch::default() }).unwrap();
    let store = Arc::new(Mutex::new(store));
    let node = |name: &str| Node { name: name.into(), ..Node::default() };
    let nodes = Nodes::new(vec![node("a"), node("b")]);
    let stream = |name: &str| StreamState { node: name.to_owned(), ..StreamState::default() };
    let status = Status { streams: vec![stream("a"), stream("b")], ..Status::default() };
    router(Shared {
        metrics: Arc::new(Metrics::new(&nodes, [].into_iter(), [].into_iter()).unwrap()),
        refresh: Arc::new(|| {}),
        pulse: Arc::default(),
        status: watch::Sender::new(Arc::new(status)).subscribe(),
        findings: Arc::new(Findings::new(store.clone(), None)),
        news,
        desk: Arc::new(Plain(store)),
        explaining: Arc::new(Semaphore::new(1)),
        access: Arc::new(access),
    })
}

fn two() -> Router {
    let findings = vec![
        finding(1, FindingKind::WriteConflict, "shop.orders"),
        finding(2, FindingKind::Divergence, "crm.leads"),
    ];
    site(Access::new([127, 0, 0, 1].into(), None, false), findings)
}

fn get_at(path: &str) -> Request<Body> {
    Request::get(path).header("host", "127.0.0.1:9477").body(Body::empty()).unwrap()
}

fn post_at(path: &str, form: &str) -> Request<Body> {
    Request::post(path)
        .header("host", "127.0.0.1:9477")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form.to_owned()))
        .unwrap()
}

async fn told(site: &Router, request: Request<Body>) -> (u16, String) {
    let response = site.clone().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

fn location(response: &Response) -> &str {
    response.headers().get("location").unwrap().to_str().unwrap()
}

#[tokio::test]
async fn the_status_page_lists_what_is_asked_for() {
    let site = two();
    let (code, page) = told(&site, get_at("/")).await;
    assert_eq!(code, 200);
    assert!(page.contains("1 row differs between the masters"), "{page}");
    assert!(page.contains("message 1") && page.contains("message 2"), "{page}");
    let (_, page) = told(&site, get_at("/?kind=divergence")).await;
    assert!(!page.contains("message 1") && page.contains("message 2"), "{page}");
    let (_, page) = told(&site, get_at("/?table=shop.*&kind=")).await;
    assert!(page.contains("message 1") && !page.contains("message 2"), "{page}");
    let (code, page) = told(&site, get_at("/?kind=%3Cscript%3E")).await;
    assert_eq!(code, 400);
    assert!(page.contains("kind=&lt;script&gt; is none"), "{page}");
}

#[tokio::test]
async fn the_api_goes_on_where_a_part_ends() {
    let site = two();
    let (code, first) = told(&site, get_at("/api/v1/findings?limit=1")).await;
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((code, &first["findings"][0]["message"]), (200, &json!("message 2")));
    let next = first["next"].as_str().unwrap();
    let (_, second) = told(&site, get_at(&format!("/api/v1/findings?limit=1&after={next}"))).await;
    let second: Value = serde_json::from_str(&second).unwrap();
    assert_eq!(second["findings"][0]["message"], "message 1");
    assert!(second["next"].is_null());
    let (code, error) = told(&site, get_at("/api/v1/findings?state=gone")).await;
    assert_eq!(code, 400);
    assert!(error.contains("state=gone is none; there are open"), "{error}");
    let wrong = [
        ("/api/v1/findings/ffff", 404),
        ("/api/v1/findings?limit=x", 400),
        ("/api/v1/findings?kinds=divergence", 400),
        ("/api/v1/nothing", 404),
    ];
    for (path, expected) in wrong {
        let (code, error) = told(&site, get_at(path)).await;
        assert_eq!(code, expected, "{path}");
        assert!(serde_json::from_str::<Value>(&error).unwrap()["error"].is_string(), "{path}");
    }
    let (_, status) = told(&site, get_at("/api/v1/status")).await;
    assert_eq!(serde_json::from_str::<Value>(&status).unwrap()["streams"][1]["node"], "b");
}

#[tokio::test]
async fn a_note_is_taken_and_taken_back() {
    let site = two();
    let id = "01".repeat(16);
    let short = site.clone().oneshot(get_at("/findings/0101")).await.unwrap();
    assert_eq!((short.status().as_u16(), location(&short)), (303, &*format!("/findings/{id}")));
    let path = format!("/findings/{id}/acknowledge");
    let (code, page) = told(&site, post_at(&path, "by=&why=x")).await;
    assert_eq!(code, 400);
    assert!(page.contains("Say your name."), "{page}");
    assert_eq!(told(&site, post_at(&path, "by=ann&why=known&until=")).await.0, 303);
    let (_, page) = told(&site, get_at(&format!("/findings/{id}"))).await;
    assert!(page.contains("Acknowledged by") && page.contains("ann"), "{page}");
    let (_, page) = told(&site, get_at("/")).await;
    assert!(page.contains("1 acknowledged") && !page.contains("message 1"), "{page}");
    assert_eq!(told(&site, post_at(&format!("/findings/{id}/withdraw"), "")).await.0, 303);
    assert!(told(&site, get_at("/")).await.1.contains("message 1"));
}

#[tokio::test]
async fn on_loopback_no_other_site_gets_in() {
    let site = two();
    let elsewhere = |path: &str| Request::get(path).header("host", "evil.example:9477");
    let page = elsewhere("/").body(Body::empty()).unwrap();
    assert_eq!(told(&site, page).await.0, 403);
    let metrics = elsewhere("/metrics").body(Body::empty()).unwrap();
    assert_eq!(told(&site, metrics).await.0, 200);
    for host in ["localhost:1", "[::1]:9477", "127.9.9.9"] {
        let page = Request::get("/").header("host", host).body(Body::empty()).unwrap();
        assert_eq!(told(&site, page).await.0, 200, "{host}");
    }
    let path = format!("/findings/{}/acknowledge", "01".repeat(16));
    for (header, value) in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
        let mut post = post_at(&path, "by=eve&why=x");
        post.headers_mut().insert(header, value.parse().unwrap());
        assert_eq!(told(&site, post).await.0, 403, "{header}");
    }
    let mut post = post_at(&path, "by=ann&why=x");
    post.headers_mut().insert("origin", "http://127.0.0.1:9477".parse().unwrap());
    assert_eq!(told(&site, post).await.0, 303);
}

#[tokio::test]
async fn elsewhere_pages_want_the_token() {
    let open = "0.0.0.0".parse().unwrap();
    let site = site(Access::new(open, Some("s3cret;ü"), false), Vec::new());
    let page = site.clone().oneshot(get_at("/")).await.unwrap();
    assert_eq!((page.status().as_u16(), location(&page)), (303, "/login?to=%2F"));
    assert_eq!(told(&site, get_at("/api/v1/status")).await.0, 401);
    for path in ["/metrics", "/healthz", "/login", "/static/style.css"] {
        assert_eq!(told(&site, get_at(path)).await.0, 200, "{path}");
    }
    let bearer = |token: &str| {
        let mut request = get_at("/api/v1/status");
        let value = format!("Bearer {token}");
        let value = axum::http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request.headers_mut().insert("authorization", value);
        request
    };
    assert_eq!(told(&site, bearer("s3cret")).await.0, 401);
    assert_eq!(told(&site, bearer("s3cret;ü")).await.0, 200);
    assert_eq!(told(&site, post_at("/login", "token=wrong")).await.0, 401);
    for (to, lands) in [
        ("%2F%3Fkind%3Ddivergence", "/?kind=divergence"),
        ("%2F%2Fevil.example", "/"),
        ("https%3A%2F%2Fevil.example", "/"),
        ("%2F%5Cevil.example", "/"),
    ] {
        let form = format!("token=s3cret%3B%C3%BC&to={to}");
        let login = site.clone().oneshot(post_at("/login", &form)).await.unwrap();
        assert_eq!((login.status().as_u16(), location(&login)), (303, lands));
    }
    let login = site.clone().oneshot(post_at("/login", "token=s3cret%3B%C3%BC")).await.unwrap();
    let cookie = login.headers().get("set-cookie").unwrap().to_str().unwrap();
    assert!(cookie.ends_with("HttpOnly; SameSite=Lax"), "{cookie}");
    let mut page = get_at("/");
    let cookie = cookie.split(';').next().unwrap().parse().unwrap();
    page.headers_mut().insert("cookie", cookie);
    assert_eq!(told(&site, page).await.0, 200);
    let closed = self::site(Access::new(open, None, false), Vec::new());
    assert_eq!(told(&closed, get_at("/")).await.0, 403);
    assert_eq!(told(&closed, get_at("/metrics")).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn pages_are_told_of_news() {
    let news = watch::Sender::new(0);
    let site = site_with(Access::new([127, 0, 0, 1].into(), None, false), Vec::new(), news.clone());
    let response = site.oneshot(get_at("/events")).await.unwrap();
    let mut events = response.into_body().into_data_stream();
    news.send_modify(|news| *news += 1);
    let event = events.next().await.unwrap().unwrap();
    assert_eq!(&event[..], b"event: change\ndata: now\n\n", "an event without data is none");
}

#[tokio::test]
async fn every_answer_says_what_a_browser_may_do() {
    let site = two();
    for path in ["/", "/nowhere", "/static/page.js", "/api/v1/status"] {
        let response = site.clone().oneshot(get_at(path)).await.unwrap();
        let policy = response.headers().get("content-security-policy").unwrap();
        assert!(policy.to_str().unwrap().starts_with("default-src 'none'"), "{path}");
    }
}

/// Every route that there is, as the source names them; `{id}` is a finding's.
fn routes() -> Vec<String> {
    let source = include_str!("mod.rs");
    let paths = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let id = "01".repeat(16);
    let routes: Vec<String> = paths.map(|path| path.replace("{id}", &id)).collect();
    assert!(routes.len() >= 14 && routes.iter().any(|of| of == "/readyz"), "{routes:?}");
    routes
}

/// What a stranger may see of each route, by method: the status codes that are not refusals.
async fn open_to_strangers(token: Option<&str>) -> Vec<String> {
    let site = site(
        Access::new([0, 0, 0, 0].into(), token, true),
        vec![finding(1, FindingKind::WriteConflict, "shop.orders")],
    );
    let mut open = Vec::new();
    for path in routes() {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            let request = Request::builder()
                .method(method)
                .uri(&path)
                .header("host", "127.0.0.1:9477")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(Body::from("token=guess&by=x&why=x&until="))
                .unwrap();
            let (code, page) = told(&site, request).await;
            if ["/metrics", "/healthz", "/readyz"].contains(&path.as_str()) {
                continue;
            }
            for secret in ["shop.orders", "message 1", "0101", "write_conflict"] {
                // What was asked for may come back in the address of the form.
                assert!(!page.contains(secret) || code == 303, "{method} {path}: {page}");
            }
            if !matches!(code, 303 | 401 | 403 | 404 | 405) {
                open.push(format!("{method} {path}"));
            }
        }
    }
    open
}

#[tokio::test(start_paused = true)]
async fn strangers_get_metrics_and_health_and_nothing_else() {
    assert_eq!(open_to_strangers(None).await, [""; 0], "without a token all is closed");
    // The form that takes the token, and what it looks like: the same for everybody.
    let door = ["/login", "/static/style.css", "/static/page.js"];
    let door = door.iter().flat_map(|path| [format!("GET {path}"), format!("HEAD {path}")]);
    let door: Vec<String> = door.collect();
    assert_eq!(open_to_strangers(Some("right")).await, door);
}
