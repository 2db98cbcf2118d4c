//! See `pay_common::fuzzing::jwt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    pay_common::fuzzing::jwt(bytes);
});
