//! What the system tells a watch: to end, to end at once, and to read its configuration again.
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
    heard: watch::Receiver<Told>,
    /// Of the reloads that were heard, how many were passed on.
    reloads: u64,
}

/// What was heard so far.
#[derive(Clone, Copy, Default)]
struct Told {
    end: bool,
    reloads: u64,
}

/// What a watch is told to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// To end.
    End,
    /// To read its configuration again.
    Reload,
}

/// What SIGHUP means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hangup {
    /// Read the configuration again.
    Reloads,
    /// End: the terminal that shows everything is gone.
    Ends,
}

impl Signals {
    /// Begins to listen. A second SIGINT or SIGTERM, or one that is not followed within four
    /// seconds, ends the process; `at_once` is called before that. SIGHUP does what `hangup` says.
    ///
    /// # Errors
    /// A system that does not let us wait for signals.
    pub fn listen(at_once: fn(), hangup: Hangup) -> io::Result<Signals> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let context = runtime.enter();
        let heard = Heard {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            ends_at_hangup: hangup == Hangup::Ends,
        };
        drop(context);
        let (told, receive) = watch::channel(Told::default());
        let listening = async move { heard.listen(&told, at_once).await };
        let thread = thread::Builder::new().name("signals".to_owned());
        thread.spawn(move || runtime.block_on(listening))?;
        Ok(Signals { heard: receive, reloads: 0 })
    }

    /// Waits until the watch is told to end.
    pub(super) async fn ended(&mut self) {
        // The other side is never dropped.
        let _ = self.heard.wait_for(|told| told.end).await;
    }

    /// Waits for the next order. Several reloads that nobody waited for are one.
    pub(super) async fn order(&mut self) -> Order {
        loop {
            let told = *self.heard.borrow_and_update();
            if told.end {
                return Order::End;
            }
            if told.reloads != self.reloads {
                self.reloads = told.reloads;
                return Order::Reload;
            }
            // The other side is never dropped.
            let _ = self.heard.changed().await;
        }
    }
}

struct Heard {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    ends_at_hangup: bool,
}

impl Heard {
    async fn listen(mut self, told: &watch::Sender<Told>, last: fn()) {
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
                _ = self.hangup.recv() => {
                    if !self.ends_at_hangup {
                        told.send_modify(|told| told.reloads += 1);
                        continue;
                    }
                }
                () = over => end_at_once("not ended in time", last),
            }
            if limit.is_some() {
                end_at_once("told to end a second time", last);
            }
            limit = Some(Instant::now() + END_WITHIN);
            told.send_modify(|told| told.end = true);
        }
    }
}

fn end_at_once(why: &'static str, last: fn()) -> ! {
    thread::spawn(move || error!("{why}: ends at once; what was not committed is judged again"));
    thread::sleep(LAST_LINE_WITHIN);
    last();
    std::process::exit(CUT_OFF)
}
