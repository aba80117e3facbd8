//! Findings and summaries as text and JSON.
//!
//! **Architecture invariant.** `report` is pure: it turns values into text and reads nothing.

mod listing;
mod message;
mod record;
mod summary;
mod text;
mod time;

pub use listing::{Folded, Line, listing_text, record_text};
pub use message::message;
pub use record::Record;
pub use summary::{Counts, Summary};
pub use text::{finding_text, summary_text};
pub use time::rfc3339;
