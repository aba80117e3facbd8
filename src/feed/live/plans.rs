//! What is to be known of tables, while it may change: a stream takes other plans between two
//! transactions, and says so in its place.

use crate::binlog::{TablePlan, TablePlans};
use std::sync::Arc;
use tokio::sync::watch;

/// Plans, and their number: how often they were replaced.
type Numbered = (u64, TablePlans);

/// The plans of a stream's tables, as they are now.
#[derive(Clone)]
pub struct LivePlans(watch::Receiver<Numbered>);

/// Where a stream's plans are replaced.
pub struct PlansSender(watch::Sender<Numbered>);

impl LivePlans {
    /// Plans that may be replaced; they are number 0.
    pub fn new(plans: TablePlans) -> (PlansSender, LivePlans) {
        let (send, receive) = watch::channel((0, plans));
        (PlansSender(send), LivePlans(receive))
    }

    /// Plans that stay as they are.
    pub fn fixed(plans: TablePlans) -> LivePlans {
        LivePlans::new(plans).1
    }

    /// For whoever asks a server something else than its stream.
    pub fn none() -> LivePlans {
        LivePlans::fixed(Arc::new(|_| TablePlan::default()))
    }

    /// The plans of now.
    pub(super) fn current(&mut self) -> Numbered {
        self.0.borrow_and_update().clone()
    }

    /// Whether there are others than [`LivePlans::current`] gave last. Cheap: asked at every event.
    pub(super) fn have_changed(&self) -> bool {
        // Those that nobody can replace any more have not.
        self.0.has_changed().unwrap_or(false)
    }
}

impl PlansSender {
    /// Replaces them. The stream tells [`super::LiveEvent::Plans`] with this number before the
    /// first transaction that it reads with them.
    pub fn replace(&self, number: u64, plans: TablePlans) {
        self.0.send_replace((number, plans));
    }
}
