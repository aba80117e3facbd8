//! `twinlog watch --live`: the terminal of the live view.

use super::complain;
use crate::{
    app::watch::WatchSink,
    model::{CommitTime, Finding, Nodes},
    report::{
        Status,
        live::{View, counts_text, draw},
    },
};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};
use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// From one look at the keyboard, and drawing, to the next at most.
const PACE: Duration = Duration::from_millis(200);

/// What the watch, the log and the terminal's thread share.
#[derive(Default)]
struct Shared {
    view: Mutex<View>,
    ended: AtomicBool,
}

impl Shared {
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The live view before it has the terminal: it takes lines of the log.
pub(super) struct Live {
    shared: Arc<Shared>,
}

/// The live view on the terminal.
pub(super) struct Shown {
    shared: Arc<Shared>,
    thread: JoinHandle<io::Result<()>>,
}

impl Live {
    /// Gets ready.
    pub(super) fn new(config: &Path) -> Live {
        let shared =
            Shared { view: Mutex::new(View::new(&config.to_string_lossy())), ..Shared::default() };
        Live { shared: Arc::new(shared) }
    }

    /// Where the watch tells what happens.
    pub(super) fn sink(&self) -> LiveSink {
        LiveSink(self.shared.clone())
    }

    /// Where the log goes.
    pub(super) fn log(&self) -> Log {
        Log { shared: self.shared.clone(), is_kept: !io::stderr().is_terminal() }
    }

    /// Takes the terminal.
    ///
    /// # Errors
    /// A terminal that cannot be taken.
    pub(super) fn show(&self) -> io::Result<Shown> {
        let terminal = ratatui::try_init()?;
        let shared = self.shared.clone();
        let thread = thread::spawn(move || {
            let result = run(&shared, terminal);
            if result.is_err() {
                end_watch();
            }
            result
        });
        Ok(Shown { shared: self.shared.clone(), thread })
    }
}

impl Shown {
    /// Gives the terminal back, and prints there what would be gone with the view.
    pub(super) fn end(self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let result = self.thread.join().unwrap_or(Ok(()));
        let restored = ratatui::try_restore();
        let view = self.shared.view();
        if io::stderr().is_terminal() {
            let (lines, dropped) = view.logged();
            if dropped > 0 {
                eprintln!("({dropped} older lines of the log are gone)");
            }
            lines.for_each(|line| eprintln!("{line}"));
        }
        // Nobody may be left to read it.
        let _ = writeln!(io::stdout(), "findings told: {}", counts_text(view.counts()));
        if let Err(error) = result.and(restored) {
            complain(&format!("the terminal: {error}"));
        }
    }
}

/// Tells the live view what happens.
pub(super) struct LiveSink(Arc<Shared>);

impl WatchSink for LiveSink {
    fn finding(&mut self, finding: &Finding, nodes: &Nodes) -> io::Result<()> {
        self.0.view().finding(finding, nodes);
        Ok(())
    }

    fn status(&mut self, status: &Status) {
        self.0.view().status(status);
    }

    fn flush(&mut self) {}
}

/// Takes the log's lines: into the view; and to stderr, where that is another place.
#[derive(Clone)]
pub(super) struct Log {
    shared: Arc<Shared>,
    is_kept: bool,
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.shared.view().log(&String::from_utf8_lossy(bytes));
        if self.is_kept {
            io::stderr().write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Draws and listens until the watch has ended. Drawn again without a reason: ages grow.
fn run(shared: &Shared, mut terminal: DefaultTerminal) -> io::Result<()> {
    while !shared.ended.load(Ordering::Relaxed) {
        let now = CommitTime::from_micros(jiff::Timestamp::now().as_microsecond());
        // Only to compose it: a terminal that takes no output must not stop the watch.
        terminal.draw(|frame| draw(frame, &shared.view(), now))?;
        if event::poll(PACE)? && ends(&event::read()?) {
            end_watch();
        }
    }
    Ok(())
}

/// `q` or Ctrl-C, which a terminal in this mode does not make a signal of.
fn ends(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let is_control_c =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (is_control_c || key.code == KeyCode::Char('q'))
}

/// Ends the watch as its operator's SIGTERM would.
fn end_watch() {
    let (process, signal) = (rustix::process::getpid(), rustix::process::Signal::TERM);
    if let Err(error) = rustix::process::kill_process(process, signal) {
        tracing::error!("cannot end: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::crossterm::event::KeyEvent;

    #[test]
    fn q_and_control_c_end_it() {
        let key = |c, modifiers| Event::Key(KeyEvent::new(KeyCode::Char(c), modifiers));
        assert!(ends(&key('q', KeyModifiers::NONE)) && ends(&key('c', KeyModifiers::CONTROL)));
        assert!(!ends(&key('c', KeyModifiers::NONE)) && !ends(&Event::Resize(9, 9)));
    }
}
