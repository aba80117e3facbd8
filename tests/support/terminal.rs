//! A program on a terminal of its own, and what a person would see there.
#![allow(dead_code, unreachable_pub, reason = "not every test that compiles this uses it")]
#![expect(clippy::disallowed_methods, reason = "a test's clock")]

use std::{
    ffi::OsStr,
    io::{Read, Write},
    num::NonZeroU16,
    os::fd::AsFd,
    process::{Child, ExitStatus},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use pty_process::{
    Size,
    blocking::{Command, Pty, open},
};
use rustix::termios::{Termios, tcgetattr};

/// A program that runs on a terminal; ended with the test.
pub struct OnTerminal {
    child: Child,
    pty: Arc<Pty>,
    parser: Arc<Mutex<vt100::Parser>>,
    reader: Option<JoinHandle<Vec<u8>>>,
    settings: Termios,
}

/// What is left of it.
pub struct Ended {
    pub status: ExitStatus,
    /// Everything that it wrote.
    pub bytes: Vec<u8>,
    /// What the terminal shows, without what scrolled away.
    pub screen: vt100::Screen,
    /// Whether the terminal is as it was before.
    pub is_restored: bool,
}

fn size(lines: u16, columns: u16) -> (NonZeroU16, NonZeroU16) {
    (NonZeroU16::new(lines).expect("lines"), NonZeroU16::new(columns).expect("columns"))
}

impl OnTerminal {
    /// Starts twinlog with these arguments and variables.
    pub fn start(
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        variables: &[(&str, &str)],
        (lines, columns): (u16, u16),
    ) -> OnTerminal {
        let (pty, pts) = open().expect("a terminal");
        pty.resize(Size::new(lines, columns)).expect("a size");
        let settings = tcgetattr(pty.as_fd()).expect("settings");
        let command = Command::new(env!("CARGO_BIN_EXE_twinlog"))
            .args(arguments)
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color")
            .envs(variables.iter().copied());
        let child = command.spawn(pts).expect("twinlog runs");
        let (rows, width) = size(lines, columns);
        let parser = Arc::new(Mutex::new(vt100::Parser::new(rows, width, 0)));
        let (pty, shown) = (Arc::new(pty), parser.clone());
        let input = pty.clone();
        let reader = std::thread::spawn(move || {
            let (mut all, mut bytes) = (Vec::new(), [0; 4096]);
            // Where nobody has the terminal open any more, reading fails.
            while let Ok(count @ 1..) = (&*input).read(&mut bytes) {
                all.extend_from_slice(&bytes[..count]);
                shown.lock().expect("the screen").process(&bytes[..count]);
            }
            all
        });
        OnTerminal { child, pty, parser, reader: Some(reader), settings }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).expect("keys");
    }

    pub fn resize(&self, lines: u16, columns: u16) {
        let (rows, width) = size(lines, columns);
        self.parser.lock().expect("the screen").set_size(rows, width);
        self.pty.resize(Size::new(lines, columns)).expect("a size");
    }

    pub fn screen(&self) -> vt100::Screen {
        self.parser.lock().expect("the screen").screen().clone()
    }

    /// Waits until the screen shows something.
    #[track_caller]
    pub fn wait_until(&mut self, limit: Duration, what: &str, seen: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + limit;
        loop {
            let contents = self.screen().contents();
            if seen(&contents) {
                return;
            }
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "{what}: it has ended, {ended:?}:\n{contents}");
            assert!(Instant::now() < deadline, "{what}: not within {limit:?}:\n{contents}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn wait(mut self, limit: Duration) -> Ended {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            let contents = || self.screen().contents();
            assert!(Instant::now() < deadline, "it goes on:\n{}", contents());
            std::thread::sleep(Duration::from_millis(20));
        };
        let bytes = self.reader.take().expect("a reader").join().expect("the reader's bytes");
        let is_restored =
            tcgetattr(self.pty.as_fd()).expect("settings").local_modes == self.settings.local_modes;
        Ended { status, bytes, screen: self.screen(), is_restored }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
