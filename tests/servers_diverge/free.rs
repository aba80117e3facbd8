//! Both masters write at the same time, and replicate: races as they come. Nobody can say before
//! what becomes of a row; the truth is what the masters hold at the end.
#![expect(clippy::disallowed_methods, reason = "a test's clock")]

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::support::lab::Lab;
use crate::support::random::Random;
use crate::tables::Table;
use crate::writes::Writer;

/// One writer alone on a master never waits for a lock of another client, only of the applier.
const WRITERS: [(&str, &str); 4] = [("a", "a1"), ("b", "b1"), ("a", "a2"), ("b", "b2")];

/// Writes for so long, and returns how many transactions were sent. Each phase of a seed has a
/// number.
pub fn write(lab: &Lab, tables: &[Table], seed: u64, phase: u64, duration: Duration) -> usize {
    let end = Instant::now() + duration;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (1..)
            .zip(WRITERS)
            .map(|(number, (node, name))| {
                scope.spawn(move || {
                    // Seeds that follow each other give chance that does not.
                    let mixed = seed.wrapping_mul(1000).wrapping_add(phase * 10 + number);
                    let random = Random(mixed);
                    let value = number as i64 * 100_000_000;
                    let name = format!("{name} {phase}");
                    let mut client = Client::connect(lab, node, &name.replace(' ', "-"));
                    let mut writer = Writer { tables, random, name, value, hot: 40 };
                    let mut count = 0;
                    while Instant::now() < end {
                        client.run(&next(&mut writer));
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer")).sum()
    })
}

/// A transaction that keeps its locks for a moment, so that others meet it, and a pause.
fn next(writer: &mut Writer) -> String {
    let flush = writer.random.percent(1);
    let flush = if flush { "FLUSH NO_WRITE_TO_BINLOG BINARY LOGS;\n" } else { "" };
    let pause = writer.random.below(40);
    let transaction = writer.transaction(|_| true).sql("DO SLEEP(0.002);\n");
    format!("{transaction}{flush}DO SLEEP(0.0{pause:02});\n")
}
