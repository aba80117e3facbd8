//! `twinlog schema`.

use super::{Exit, args::SchemaArgs, complain};
use crate::{
    app::schema::{SchemaError, read_schema},
    config::{Config, SchemaFile},
    report::terminal::clean_json,
};
use std::io::Write;

pub(super) fn run(args: &SchemaArgs, quiet: bool) -> Exit {
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Exit::Usage;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return Exit::Incomplete;
        }
    };
    let schema = match runtime.block_on(read_schema(&config)) {
        Ok(schema) => schema,
        Err(error) => {
            complain(&error);
            return match error {
                SchemaError::Usage(_) => Exit::Usage,
                SchemaError::Feed(_) => Exit::Incomplete,
            };
        }
    };
    if let Err(error) = writeln!(std::io::stdout(), "{}", clean_json(&schema.to_json())) {
        complain(&format!("cannot write the schema: {error}"));
        return Exit::Incomplete;
    }
    if quiet { Exit::Clean } else { tell(&schema) }
}

/// Tells what an operator should know of the schema besides reading it.
fn tell(schema: &SchemaFile) -> Exit {
    for (node, tables) in &schema.nodes {
        match tables.len() {
            0 => complain(&format!(
                "node {node}: the account sees no tables\n  hint: on the server, GRANT SELECT on \
                 the tables that are written"
            )),
            count => eprintln!("twinlog: node {node}: {count} tables"),
        }
    }
    for table in schema.differing() {
        complain(&format!("{table}: the nodes do not define it alike; each has an entry"));
    }
    Exit::Clean
}
