//! Huge transactions, cut off in the middle by a connection that breaks: each comes once, whole.

use crate::bench::Bench;

pub(crate) fn transactions_are_cut(bench: &mut Bench) {
    bench.lab.sql(
        "a",
        "CREATE TABLE t.many (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(200));
         CREATE TABLE t.huge (id INT PRIMARY KEY, v LONGBLOB)",
    );
    // Rows of more than one packet of the protocol, 16 MiB.
    let row = |id| format!("INSERT INTO t.huge VALUES ({id}, REPEAT('x', 18000000));");
    let rows = format!("BEGIN; {} {} COMMIT;", row(1), row(2));
    is_cut(bench, &rows, 2.0, 12_000_000);
    // Very many events.
    let mut many = "BEGIN; INSERT INTO t.many (v) VALUES (REPEAT('m', 200));".to_owned();
    for _ in 0..15 {
        many += "INSERT INTO t.many (v) SELECT v FROM t.many;";
    }
    many += "COMMIT;";
    is_cut(bench, &many, f64::from(1 << 15), 2_000_000);
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    bench.equals_scan();
}

/// Writes a transaction on a while its stream is slow, and cuts it once after so many bytes.
fn is_cut(bench: &mut Bench, transaction: &str, rows: f64, after_bytes: u64) {
    let counted = |bench: &Bench| {
        let rows = |operation: &str| {
            format!("rows_total{{operation=\"{operation}\",origin=\"a\",stream=\"a\"}}")
        };
        let transactions = bench.metric("transactions_total{origin=\"a\",stream=\"a\"}");
        (transactions, bench.metric(&rows("insert")))
    };
    let copied = |bench: &Bench| bench.metric("transactions_total{origin=\"a\",stream=\"b\"}");
    bench.lab.settle();
    bench.until("all is read", |bench| {
        ["a", "b"].iter().all(|node| {
            let newest = bench.lab.sql(node, "SHOW BINARY LOGS").lines().last().unwrap().to_owned();
            let size: f64 = newest.split('\t').nth(1).unwrap().parse().unwrap();
            bench.metric(&format!("stream_offset_bytes{{stream=\"{node}\"}}")) == size
        })
    });
    let (before, copies) = (counted(bench), copied(bench));
    bench.proxies[0].throttle(after_bytes / 2);
    let passed = bench.proxies[0].passed();
    bench.lab.sql("a", transaction);
    bench.until("the middle", |bench| bench.proxies[0].passed() >= passed + after_bytes);
    assert_eq!(counted(bench), before, "it has not come yet");
    bench.proxies[0].break_once();
    bench.proxies[0].pass();
    // Its rows are counted after it: two answers may lie before and after that.
    let whole = (before.0 + 1.0, before.1 + rows);
    bench.until("it comes whole", |bench| counted(bench) == whole);
    bench.until("its copy comes", |bench| copied(bench) > copies);
    assert_eq!(copied(bench), copies + 1.0);
    assert_eq!(counted(bench), whole, "once");
}
