#![no_main]

wirenet_fuzz::target!(hub, 16);
