//! Asks a watch whether it is well, as a container's health check does: there is no curl in the
//! image.

use axum::http::Uri;
use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

/// How long the whole of it may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How much of an answer is read: status, headers and the first line of a short page.
const ANSWER_BYTES_MAX: u64 = 8192;

/// Why a watch does not count as well.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// What was given is no address that can be asked.
    #[error("{0}: {1}\n  hint: write http://HOST:PORT/PATH, such as http://127.0.0.1:9477/readyz")]
    Url(String, String),
    /// Nobody answers.
    #[error("{0} does not answer: {1}\n  hint: does twinlog watch run, and listen there?")]
    Silent(String, io::Error),
    /// It answers that all is not well.
    #[error("{url} says {status}: {why}")]
    Unwell {
        /// What was asked.
        url: String,
        /// The status code.
        status: u16,
        /// The first line of the page.
        why: String,
    },
}

/// Asks a URL over plain HTTP, within two seconds in all. Returns the first line of the page where
/// the answer is a 2xx.
///
/// # Errors
/// A URL of another kind, no answer in time, and any other status.
pub fn health(url: &str) -> Result<String, HealthError> {
    let wrong = |why: &str| HealthError::Url(url.to_owned(), why.to_owned());
    let uri: Uri = url.parse().map_err(|error| wrong(&format!("no URL ({error})")))?;
    if uri.scheme_str() != Some("http") {
        return Err(wrong("only http is spoken"));
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("no host"))?;
    // In a URL an IPv6 address stands in brackets, elsewhere it does not.
    let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let silent = |error| HealthError::Silent(url.to_owned(), error);
    let answer = ask(address, path).map_err(silent)?;
    let (status, why) = read_answer(&answer).ok_or_else(|| {
        silent(io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
    })?;
    match status {
        200..300 => Ok(why),
        _ => Err(HealthError::Unwell { url: url.to_owned(), status, why }),
    }
}

/// Sends one request, and returns the beginning of the answer.
fn ask(address: (&str, u16), path: &str) -> io::Result<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "a deadline at the edge; it judges nothing")]
    let now = Instant::now;
    let deadline = now() + TIMEOUT;
    let left = || match deadline.saturating_duration_since(now()) {
        Duration::ZERO => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in 2 seconds")),
        left => Ok(left),
    };
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    let mut connected = None;
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left()?) {
            Ok(stream) => {
                connected = Some(stream);
                break;
            }
            Err(error) => refused = error,
        }
    }
    let mut stream = connected.ok_or(refused)?;
    stream.set_write_timeout(Some(left()?))?;
    let host = address.0;
    // In one write: a server may answer and close as soon as it has the first part.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while (answer.len() as u64) < ANSWER_BYTES_MAX {
        // Each read gets what is left, so that a server that sends byte by byte is given up too.
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => left().map(drop)?,
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

/// The status code and the first line of the page; `None` for what is not HTTP.
fn read_answer(answer: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(answer);
    let (head, page) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.get(..3)?;
    let why = page.lines().next().unwrap_or_default().to_owned();
    Some((status.parse().ok()?, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, thread};

    /// Answers one request with these bytes; the connection ends when `keep` does not hold it.
    fn served(answer: &'static [u8], keep: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let count = stream.read(&mut request).unwrap();
            assert!(request[..count].starts_with(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n"));
            stream.write_all(answer).unwrap();
            if keep {
                // Until the other side has given up.
                let _ = stream.read(&mut request);
            }
        });
        url
    }

    #[test]
    fn a_2xx_is_well_and_nothing_else() {
        let well = served(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nready\nmore", false);
        assert_eq!(health(&well).unwrap(), "ready");
        assert_eq!(health(&served(b"HTTP/1.1 204 No Content\r\n\r\n", false)).unwrap(), "");
        for answer in [
            &b"HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready: a is lost\n"[..],
            b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\n\r\n",
        ] {
            let told = health(&served(answer, false)).unwrap_err();
            assert!(matches!(told, HealthError::Unwell { .. }), "{told}");
        }
        let unwell = served(b"HTTP/1.1 503 x\r\n\r\nnot ready: a is lost\n", false);
        let told = health(&unwell).unwrap_err().to_string();
        assert_eq!(told, format!("{unwell} says 503: not ready: a is lost"));
    }

    #[test]
    fn no_answer_is_told_and_waited_for_no_longer_than_two_seconds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        assert!(matches!(health(&closed), Err(HealthError::Silent(..))));
        for (answer, keep) in [(&b""[..], true), (b"HTTP/1.1 200 OK\r\n", true), (b"", false)] {
            let told = health(&served(answer, keep)).unwrap_err();
            assert!(matches!(told, HealthError::Silent(..)), "{told}");
        }
        let told = health(&served(b"SSH-2.0-x\r\n", false)).unwrap_err().to_string();
        assert!(told.contains("the answer is not HTTP"), "{told}");
    }

    #[test]
    fn only_plain_http_is_asked() {
        for url in ["", "127.0.0.1:9477", "https://127.0.0.1/", "/readyz", "http://", "http://a b/"]
        {
            let told = health(url).unwrap_err();
            assert!(matches!(told, HealthError::Url(..)), "{url}: {told}");
        }
    }
}
