//! A receiver of Alertmanager's notifications.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, routing::post};
use serde_json::Value;

/// One alert of a notification, and when it came.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) at: Instant,
    pub(crate) alert: Value,
}

impl Notice {
    pub(crate) fn label(&self, name: &str) -> &str {
        self.alert["labels"][name].as_str().unwrap_or_default()
    }

    pub(crate) fn annotation(&self, name: &str) -> &str {
        self.alert["annotations"][name].as_str().unwrap_or_default()
    }

    pub(crate) fn is(&self, status: &str, name: &str, labels: &[(&str, &str)]) -> bool {
        self.alert["status"] == status
            && self.label("alertname") == name
            && labels.iter().all(|(label, value)| self.label(label) == *value)
    }
}

type Notices = Arc<Mutex<Vec<Notice>>>;

/// The receiver; it serves as long as the process runs.
pub(crate) struct Webhook {
    pub(crate) url: String,
    notices: Notices,
}

impl Webhook {
    pub(crate) fn start() -> Webhook {
        let notices = Notices::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(receive)).with_state(notices.clone());
        std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Webhook { url, notices }
    }

    /// All that has come.
    pub(crate) fn notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap().clone()
    }

    /// Waits for an alert; fails when it has not come within `limit`.
    pub(crate) fn wait(
        &self,
        limit: Duration,
        status: &str,
        name: &str,
        labels: &[(&str, &str)],
    ) -> Notice {
        let deadline = Instant::now() + limit;
        loop {
            let found = self.notices().into_iter().find(|notice| notice.is(status, name, labels));
            if let Some(notice) = found {
                return notice;
            }
            let come = self.notices();
            assert!(Instant::now() < deadline, "no {status} {name} {labels:?} in {come:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

async fn receive(State(notices): State<Notices>, body: String) {
    let at = Instant::now();
    let body: Value = serde_json::from_str(&body).unwrap();
    let alerts = body["alerts"].as_array().unwrap().iter();
    notices.lock().unwrap().extend(alerts.map(|alert| Notice { at, alert: alert.clone() }));
}
