#![no_main]

wirenet_fuzz::target!(session, 16);
