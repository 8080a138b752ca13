#![no_main]

wirenet_fuzz::target!(yamux_frame, 1);
