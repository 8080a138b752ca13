#![no_main]

wirenet_fuzz::target!(chunk, 1);
