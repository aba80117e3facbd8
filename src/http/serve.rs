//! Serves the pages, on a thread of its own: whoever comes, and however many, the streams and the
//! judge keep their own threads.

use super::{
    Shared,
    crowd::{Crowd, Guest},
    patient::Patient,
    router,
    tls::Tls,
};
use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, sync::Arc, thread, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    runtime, select,
    time::{sleep, timeout},
};
use tracing::{debug, error};

/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long a request's head may take, and how long a connection may wait for the next: more than
/// Prometheus' usual 15 s between two.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long the other side may take nothing of an answer.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a request's head at most.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Threads that wait for disks and servers at most.
const WAITING_THREADS_MAX: usize = 16;
/// How long the listener is left alone where the system has no more connections to give.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Serves until the process ends.
///
/// # Errors
/// A system that gives no thread.
pub fn serve(listener: TcpListener, shared: Shared, tls: Option<Arc<Tls>>) -> io::Result<()> {
    // It belongs to the runtime that it was made in.
    let listener = listener.into_std()?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(WAITING_THREADS_MAX)
        .thread_name("pages-waiting")
        .build()?;
    thread::Builder::new().name("pages".to_owned()).spawn(move || {
        runtime.block_on(async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => accept(listener, router(shared), tls).await,
                Err(error) => error!("no pages and no metrics: {error}"),
            }
        });
    })?;
    Ok(())
}

async fn accept(listener: TcpListener, router: Router, tls: Option<Arc<Tls>>) {
    let crowd = Arc::<Crowd>::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let guest = crowd.admit(peer.ip());
                tokio::spawn(attend(stream, guest, router.clone(), tls.clone()));
            }
            // A connection that was gone before it was looked at; or there are no more to be had,
            // and the next moment is as full.
            Err(error) => {
                debug!("no connection: {error}");
                sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

/// Attends to one connection until it ends, or has to.
async fn attend(stream: TcpStream, guest: Guest, router: Router, tls: Option<Arc<Tls>>) {
    let guest = Arc::new(guest);
    let talk = async {
        // An answer is written whole; where this cannot be set, it comes a little later.
        let _ = stream.set_nodelay(true);
        match tls {
            None => talk(stream, guest.clone(), router).await,
            Some(tls) => {
                let shaken = timeout(HANDSHAKE_WITHIN, tls.acceptor().accept(stream)).await;
                if let Ok(Ok(stream)) = shaken {
                    guest.moved();
                    talk(stream, guest.clone(), router).await;
                }
            }
        }
    };
    select! {
        () = talk => {}
        () = guest.has_to_go() => {}
    }
}

async fn talk<S>(stream: S, guest: Arc<Guest>, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        guest.moved();
        hyper::service::Service::call(&service, request.map(Body::new))
    });
    let stream = TokioIo::new(Patient::new(stream, TAKEN_WITHIN));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(stream, service)
        .await;
    // Strangers' mistakes are no news.
    drop(served);
}
