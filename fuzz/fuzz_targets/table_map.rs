//! See `twinlog_fuzz::targets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    twinlog_fuzz::run("table_map", data);
});
