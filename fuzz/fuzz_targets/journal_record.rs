#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tokenkeep::fuzzing::journal_record(bytes));
