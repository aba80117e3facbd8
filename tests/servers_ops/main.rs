//! `twinlog watch` as a daemon on real masters: what it does when it is told to end, and what
//! strangers and operators do to it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "a test that waits has a deadline")]

mod crowd;
mod daemon;
mod ending;
mod files;
mod late;
mod ready;
mod reload;
mod secrets;
mod service;
#[path = "../support/mod.rs"]
mod support;
