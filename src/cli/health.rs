//! `twinlog health`.

use super::{Exit, args::HealthArgs, complain};
use crate::app::health::{HealthError, health};

pub(super) fn run(args: &HealthArgs, quiet: bool) -> Exit {
    match health(&args.url) {
        Ok(_) if quiet => Exit::Clean,
        Ok(answer) => {
            println!("{answer}");
            Exit::Clean
        }
        Err(error) => {
            complain(&error);
            match error {
                HealthError::Url(..) => Exit::Usage,
                HealthError::Silent(..) | HealthError::Unwell { .. } => Exit::Unwell,
            }
        }
    }
}
