//! twinlog reads the binary logs of MySQL and MariaDB masters that replicate to each other, and
//! says, exactly and without touching a table, which writes broke the rules that keep them safe.
//!
//! The library is the program's inside; what scripts can rely on is the command line, the findings
//! and the metrics, in `docs/reference.md`. The model is told in `docs/design.md`.
//!
//! # Layers
//!
//! ```text
//! cli -> app -> feed -> binlog -----------+
//!         |                               |
//!         +---> engine -------------------+-> model
//!         |                               |
//!         +---> http -> metrics, report --+
//!         |                               |
//!         +---> store --------------------+
//!         |                               |
//!         +---> config -------------------+
//! ```
//!
//! [`feed`] brings bytes, [`binlog`] turns them into transactions of facts, [`engine`] judges
//! these, [`report`] writes findings down, [`store`] keeps them, [`metrics`] counts, [`http`]
//! serves the counts, [`app`] wires the parts, [`cli`] speaks to people. `engine` and `binlog` know
//! nothing of each other: they meet in [`model`].
//!
//! # Invariants
//!
//! Each with the tests that hold it. What is absent is part of the architecture.
//!
//! - **Arrows point down.** A layer names only those below it; `src/lib.rs` holds no code, and
//!   there is no module for helpers. `tests/tidy`: `layers_know_only_those_below_them`.
//! - **The core is pure.** `model`, `binlog`, `engine` and `report` have no files, sockets,
//!   threads, clocks, environment, chance or async. `tests/tidy`:
//!   `model_binlog_engine_and_report_are_pure`.
//! - **Findings do not depend on how the reader interleaves the streams**, only on the order within
//!   each. `engine/tests.rs`: `opposite_order_is_a_conflict_whatever_is_read_first`;
//!   `tests/simulation.rs`: `the_engine_agrees_with_the_simulated_truth`, which demands equal
//!   findings from every interleaving. Possible ones of transactions that no log names are the
//!   exception: see `engine/counted.rs`.
//! - **The slow obvious version stays, as the oracle.** All pairs of whole logs are compared, for
//!   every short schedule. `tests/oracle.rs`: `every_short_schedule_is_decided_on_mysql`,
//!   `every_short_schedule_is_decided_on_mariadb`.
//! - **Scan and watch tell the same**, and it is the truth: on real masters, with conflicts known
//!   by construction. `tests/servers_random`: `mariadb_conflicts_are_found_and_nothing_else`,
//!   `mysql_conflicts_are_found_and_nothing_else`.
//! - **A conflict needs no copy.** It is known once both originals have been read.
//!   `engine/tests.rs`: `before_replication_delivers_anything_it_is_pending`.
//! - **Streams may begin anywhere**, each at another place. `engine/tests.rs`:
//!   `streams_may_begin_at_different_places`.
//! - **Certain means certain.** Where a copy left no trace and the rows leave the order open, the
//!   finding says `possible`. `engine/tests.rs`:
//!   `a_hole_is_decided_by_its_neighbours_or_by_the_rows`.
//! - **Every row that differs is told, and none that does not**, as far as the logs show it.
//!   `tests/simulation.rs`: `the_engine_agrees_with_the_simulated_truth`; on real masters,
//!   `tests/servers_diverge`: `mariadb_tells_every_row_that_differs_and_no_other`,
//!   `mysql_tells_every_row_that_differs_and_no_other`.
//! - **Memory follows lag, not history, and has a ceiling**; reaching it is a blind spot.
//!   `engine/tests.rs`: `nothing_is_held_once_everybody_has_shown_it`,
//!   `the_bound_on_what_is_held_is_kept_and_told`.
//! - **A row is judged by the rules that it was read with**, also where they are reloaded while it
//!   is on its way. On real masters, `tests/servers_ops`:
//!   `rules_hold_from_the_next_transaction_on_and_nothing_is_lost`.
//! - **Silence is earned.** A row is judged or counted in a blind spot, and files that are missing
//!   show. `feed/continuity.rs`: `missing_files_show_in_the_next_head`; `docs/reference.md` names
//!   every reason: `tests/tidy`, `the_reference_names_every_kind_reason_and_exit_code`.
//! - **No bytes make it panic**, loop, or take more memory than `docs/limits.md` states; what is
//!   compressed expands within stated bounds, and one event at a time. `tests/hostile.rs`, for
//!   hours `scripts/fuzz`; `binlog/compressed.rs`:
//!   `what_expands_past_a_bound_is_refused_and_costs_nothing`; `tests/recorded.rs`:
//!   `a_file_cut_off_at_any_byte_is_told_and_invents_nothing`,
//!   `a_flipped_bit_is_told_in_whatever_byte`; `tests/row_images.rs`: `no_bytes_panic`;
//!   `feed/window.rs`: `a_lying_length_costs_no_more_than_the_input`; `config/tests.rs`:
//!   `every_beginning_of_a_file_is_accepted_or_refused`.
//! - **First committed, then told.** What was printed is in the store, where there is one, and is
//!   not printed again; a batch is committed whole or not at all, whatever ends the process.
//!   `store/tests.rs`: `a_finding_is_told_once_for_each_thing_that_it_tells`,
//!   `a_batch_is_committed_whole_or_not_at_all`; `tests/findings_cli.rs`:
//!   `a_killed_writer_leaves_a_whole_store`.
//! - **Texts fold into one form if the server takes them for equal, and only then**, under the
//!   collations that docs/limits.md calls exact. `tests/servers_collation.rs`:
//!   `mariadb_takes_for_equal_what_folds_into_one`, `mysql_takes_for_equal_what_folds_into_one`.
//! - **What comes from outside is text**, on a terminal and on a page: no control sequence, no
//!   element. `report/terminal.rs`: `what_a_terminal_would_obey_is_escaped`,
//!   `json_stays_what_it_was`; `report/page/scan/tests.rs`: `what_comes_from_outside_is_text`; on
//!   real masters, `tests/servers_report.rs`.
//! - **Read only.** No statement that writes to a master exists where servers are spoken to;
//!   [`report`] writes repairs down for people, and nothing runs them. `tests/tidy`:
//!   `no_statement_that_writes_to_a_master_exists`.
//! - **Secrets stay home.** No message repeats one. `config/tests.rs`:
//!   `no_message_repeats_a_secret`. No message, log or metric holds a row's value; only the key
//!   in a finding does, and what a person asks for with `findings explain` and `repair`.
//! - **Time is data.** Clocks are read in `feed`, `app` and `cli`; `clippy.toml` forbids them, and
//!   every exception is marked. Only handovers, late copies and transactions that no
//!   log names look at commit times.

pub mod app;
pub mod binlog;
pub mod cli;
pub mod config;
pub mod engine;
pub mod feed;
pub mod http;
pub mod metrics;
pub mod model;
pub mod report;
pub mod store;
