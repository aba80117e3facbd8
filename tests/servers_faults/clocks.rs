//! Clocks that jump by hours, there and back: this machine's, and where it can be tried the
//! servers'. Nothing is found because of it, and nothing waits for it.

use crate::bench::{Bench, came_late};

pub(crate) fn jump(bench: &mut Bench) {
    let mut clocks = vec![bench.path("clock")];
    clocks.extend(["a", "b"].map(|node| bench.path(&format!("{node}/clock"))));
    for clock in clocks.iter().filter(|clock| clock.exists()) {
        for offset in ["+5h", "-5h", "+0"] {
            let keys = bench.clash(|_| std::fs::write(clock, offset).unwrap());
            bench.until_told(keys);
            for node in ["a", "b"] {
                bench.until("it is connected", |bench| {
                    bench.metric(&format!("stream_connected{{stream=\"{node}\"}}")) == 1.0
                });
            }
        }
    }
    let found = bench.found();
    let late: Vec<_> = found.values().filter(|of| came_late(of)).collect();
    assert!(late.is_empty(), "{late:#?}");
    assert_eq!(bench.gaps("a").len() + bench.gaps("b").len(), 0);
    bench.equals_scan();
}
