#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirenet_fuzz::run(wirenet::fuzz::connection_frames, data, 16 << 20));
