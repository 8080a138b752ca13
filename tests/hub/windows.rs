//! Windows grow along the whole way from a caller to an owner.

use crate::{
    stage::{Client, Hub, INITIAL_WINDOW, client_of, start},
    support::{
        encoding::{END, chunks},
        fault_proxy::{FaultProxy, Profile},
        frames::{DATA, FIN, Frame},
        in_time,
    },
};
use std::{
    io::Read,
    time::{Duration, Instant},
};
use wirenet::Stream;

/// A scripted caller sends `size` bytes, as the hub grants credit. Returns the most
/// credit that it had at once.
fn most_credit(hub: &Hub, name: &str, size: usize) -> usize {
    let mut caller = hub.peer("caller", &[]);
    let stream = caller.open(name);
    let mut credit = INITIAL_WINDOW - (12 + name.len());
    let (mut sent, mut most) = (0, credit);
    let chunk = chunks(&[5; 1024], 1024);
    while sent < size {
        while credit >= 16 * chunk.len() && sent < size {
            caller.send(Frame::data(stream, chunk.repeat(16)));
            credit -= 16 * chunk.len();
            sent += 16 * 1024;
        }
        if sent < size {
            let update = caller.next_of(stream);
            assert_ne!(update.kind, DATA);
            credit += update.length as usize;
            most = most.max(credit);
        }
    }
    caller.send(Frame::data(stream, END.to_vec()));
    caller.send(Frame::flags(stream, FIN));
    caller.wait(|frame| frame.stream == stream && frame.has(FIN));
    most
}

fn far_owner(hub: &Hub, delay: Duration) -> Client {
    let profile = Profile {
        delay,
        rate: Some(200_000_000),
        buffer: 64 << 20,
        ..Profile::default()
    };
    let link = FaultProxy::to(hub.addr.parse().unwrap(), profile).unwrap();
    let owner = client_of(&link.addr.to_string()).stream("sink", |stream| {
        std::io::copy(stream, &mut std::io::sink())?;
        while stream.next_message()? {}
        Ok(())
    });
    start(owner).unwrap()
}

#[test]
fn the_owners_grown_window_reaches_the_caller() {
    in_time(|| {
        let hub = Hub::new();
        let owner = far_owner(&hub, Duration::from_millis(15));
        let most = most_credit(&hub, "sink", 16 << 20);
        println!("most credit of a caller of an owner 30 ms away: {most}");
        assert!(most >= 2 * INITIAL_WINDOW, "{most}");
        drop(owner);
    });
}

#[test]
fn a_window_grows_no_further_than_max_window() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.max_window(400_000));
        let owner = far_owner(&hub, Duration::from_millis(15));
        let most = most_credit(&hub, "sink", 8 << 20);
        assert!(most > INITIAL_WINDOW && most <= 400_000, "{most}");
        drop(owner);
    });
}

#[test]
fn a_distant_caller_fills_its_link_through_the_hub() {
    in_time(|| {
        let hub = Hub::new();
        let sink = |stream: &mut Stream| {
            std::io::copy(stream, &mut std::io::sink())?;
            Ok(())
        };
        let _owner = hub.owner("sink", sink);
        let profile = Profile {
            delay: Duration::from_millis(50),
            rate: Some(50_000_000),
            buffer: 64 << 20,
            ..Profile::default()
        };
        let link = FaultProxy::to(hub.addr.parse().unwrap(), profile).unwrap();
        let caller = start(client_of(&link.addr.to_string())).unwrap();
        let stream = caller.open("sink").unwrap();
        let size = 24 << 20;
        let began = Instant::now();
        stream.write_message(vec![1; size]).unwrap();
        stream.finish().unwrap();
        (&stream).read_to_end(&mut Vec::new()).unwrap();
        let rate = size as f64 / began.elapsed().as_secs_f64() / 1e6;
        // One initial window in each round trip would be 2.6 MB/s.
        println!("a caller 100 ms away: {rate:.1} MB/s of 50");
        assert!(rate > 5.0, "{rate}");
    });
}
