#![no_main]

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

// A sequence is reserved for what its count promises up to 1 MiB (serde's bound), and sequences are nested once; all
// else is in proportion to the bytes that there are.
const FOR_PROMISES: usize = 4 << 20;
const FOR_EACH_BYTE: usize = 32;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    tokenkeep::fuzzing::payload(bytes);
    let taken = MEMORY.peak_usage() - before;
    assert!(
        taken <= FOR_PROMISES + FOR_EACH_BYTE * bytes.len(),
        "{taken} bytes of memory for {} of input",
        bytes.len()
    );
});
