//! Names and addresses of servers, and servers that are not there yet.

use crate::{
    reader::{options, works},
    support::{lab::Lab, proxy::Proxy},
    watch::Watch,
};
use twinlog::feed::live::LiveOptions;

pub(crate) fn names(lab: &Lab) {
    let account = options(lab, "twinlog", Some(Lab::PASSWORD));
    let port = lab.node("a").port;
    let at = |address: &str| LiveOptions {
        url: format!("mysql://twinlog@{address}").parse().unwrap(),
        ..account.clone()
    };
    works("a name", at(&format!("localhost:{port}")));
    let Ok(proxy) = Proxy::on("[::1]:0", port) else {
        println!("no IPv6 here: its addresses are not tried");
        return;
    };
    works("IPv6", at(&format!("[::1]:{}", proxy.port())));
}

/// A master that is away when the watch starts is waited for.
pub(crate) fn later(lab: &Lab) {
    // A port that was free just now, and that nobody listens on.
    let away = Proxy::start(0).port();
    let ports = [lab.node("a").port, away];
    let mut watch = Watch::at(lab, "later", "twinlog", Lab::PASSWORD, ports);
    watch.until("it says what it waits for", |watch| {
        let log = watch.log();
        log.contains(&format!("mysql://twinlog@127.0.0.1:{away}: "))
            && log.contains("is the server up")
    });
    let _there = Proxy::on(&format!("127.0.0.1:{away}"), lab.node("b").port).unwrap();
    watch.until_connected();
}
