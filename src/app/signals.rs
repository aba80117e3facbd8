//! What the system tells a watch: to end, and to end at once.
//!
//! A thread of its own listens. So a signal is heard whatever the others wait for: a server, a
//! store that somebody else has locked, a reader of the findings who does not read.

use std::{io, thread, time::Duration};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::error;

/// How long a watch may take to commit and tell what it has.
const END_WITHIN: Duration = Duration::from_secs(4);
/// How long the last line of the log may take: nobody may be left to read it.
const LAST_LINE_WITHIN: Duration = Duration::from_millis(100);
/// The exit code of a watch that was ended at once: what it had is not all told.
const CUT_OFF: i32 = 3;

/// The signals of this process, heard from here on.
pub struct Signals {
    end: watch::Receiver<bool>,
}

impl Signals {
    /// Begins to listen. A second SIGINT or SIGTERM, or one that is not followed within four
    /// seconds, ends the process; `at_once` is called before that.
    ///
    /// # Errors
    /// A system that does not let us wait for signals.
    pub fn listen(at_once: fn()) -> io::Result<Signals> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let context = runtime.enter();
        let heard = Heard {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        };
        drop(context);
        let (end, ended) = watch::channel(false);
        let listening = async move { heard.listen(&end, at_once).await };
        let thread = thread::Builder::new().name("signals".to_owned());
        thread.spawn(move || runtime.block_on(listening))?;
        Ok(Signals { end: ended })
    }

    /// Waits until the watch is told to end.
    pub(super) async fn ended(&mut self) {
        // The other side is never dropped.
        let _ = self.end.wait_for(|ended| *ended).await;
    }
}

struct Heard {
    interrupt: Signal,
    terminate: Signal,
}

impl Heard {
    async fn listen(mut self, end: &watch::Sender<bool>, last: fn()) {
        let mut limit = None;
        loop {
            let over = async {
                match limit {
                    Some(limit) => sleep_until(limit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                () = over => end_at_once("not ended in time", last),
            }
            if limit.is_some() {
                end_at_once("told to end a second time", last);
            }
            limit = Some(Instant::now() + END_WITHIN);
            end.send_replace(true);
        }
    }
}

fn end_at_once(why: &'static str, last: fn()) -> ! {
    thread::spawn(move || error!("{why}: ends at once; what was not committed is judged again"));
    thread::sleep(LAST_LINE_WITHIN);
    last();
    std::process::exit(CUT_OFF)
}
