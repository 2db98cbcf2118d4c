//! See `pay_common::fuzzing::bill`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    pay_common::fuzzing::bill(bytes);
});
