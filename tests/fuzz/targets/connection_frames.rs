#![no_main]

wirenet_fuzz::target!(connection_frames, 16);
