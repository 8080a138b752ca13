#![no_main]

wirenet_fuzz::target!(wire_frame, 1);
