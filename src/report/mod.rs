//! Findings and summaries as text, JSON and HTML.
//!
//! **Architecture invariant.** `report` is pure: it turns values into text and reads nothing.

mod explain;
mod explain_text;
mod listing;
pub mod live;
mod message;
pub mod page;
mod record;
mod repair;
mod sql;
mod status;
mod summary;
pub mod terminal;
mod text;
mod time;

pub use explain::{Explanation, Proof, Seen, Step, StreamOrder, StreamView, TransactionView};
pub use explain_text::explanation_text;
pub use listing::{Folded, Line, listing_text, record_text};
pub use message::message;
pub use record::{Record, told_json};
pub use repair::{Refusal, Repair, RowRepair, Script};
pub use sql::{RowWanted, row_statements};
pub use status::{Check, Memory, OriginState, Shown, Status, StreamState};
pub use summary::{Counts, Summary};
pub use text::{finding_text, summary_text};
pub use time::rfc3339;
