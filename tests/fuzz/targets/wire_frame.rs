#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirenet_fuzz::run(wirenet::fuzz::wire_frame, data, 1 << 20));
