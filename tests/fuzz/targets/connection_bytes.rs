#![no_main]

wirenet_fuzz::target!(connection_bytes, 8);
