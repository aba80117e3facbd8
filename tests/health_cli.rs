//! `twinlog health` as a container runs it.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output},
    thread,
};

fn health(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    command.arg("health").args(arguments).output().expect("twinlog runs")
}

/// A server that answers once.
fn served(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/readyz", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 512];
        assert!(stream.read(&mut request).expect("a request") > 0);
        stream.write_all(answer).expect("somebody reads");
    });
    url
}

#[test]
fn the_exit_code_says_whether_a_watch_is_well() {
    let well = health(&["--url", &served(b"HTTP/1.1 200 OK\r\n\r\nready\n")]);
    assert_eq!((well.status.code(), &well.stdout[..]), (Some(0), &b"ready\n"[..]));
    let quiet = health(&["--quiet", "--url", &served(b"HTTP/1.1 200 OK\r\n\r\nready\n")]);
    assert_eq!((quiet.status.code(), &quiet.stdout[..]), (Some(0), &b""[..]));

    let unwell = health(&["--url", &served(b"HTTP/1.1 503 x\r\n\r\nnot ready\n")]);
    let told = String::from_utf8_lossy(&unwell.stderr);
    assert_eq!(unwell.status.code(), Some(1), "{told}");
    assert!(told.ends_with("says 503: not ready\n"), "{told}");

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    assert_eq!(health(&["--url", &closed]).status.code(), Some(1));
    assert_eq!(health(&["--url", "https://127.0.0.1/"]).status.code(), Some(2));
}
