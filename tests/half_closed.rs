//! Half-closed connections through a pipe leave nothing behind once their clients are gone.
//! This test has a file of its own because it counts the descriptors of its process.

#![cfg(target_os = "linux")]

mod support;

use crossbeam_channel::{Receiver, unbounded};
use socket2::SockRef;
use std::{
    fs,
    io::{self, Read},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};
use support::{
    PATIENCE, threads,
    wires::{joining, started},
};
use wirenet::{Piped, Wire};

/// As many as a wire has handlers by default.
const CONNECTIONS: usize = 1024;
/// The descriptors of a connection: four ends of two connections, and two alarms.
const DESCRIPTORS: usize = 6;
const OTHER_DESCRIPTORS: usize = 100;

/// An idle machine takes well under 2 s. Without an alarm, the kernel's keepalive would find
/// the end after a minute.
const SOON: Duration = Duration::from_secs(10);

/// A service that reads to the end and then stays silent. Sends each connection that it has
/// read to the end.
fn silent_service() -> (SocketAddr, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (sender, served) = unbounded();
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let mut tcp = tcp.unwrap();
            io::copy(&mut tcp, &mut io::sink()).unwrap();
            sender.send(tcp).unwrap();
        }
    });
    (addr, served)
}

fn count() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let limit = line.unwrap().split_whitespace().nth(3).unwrap();
    let limit = limit.parse().unwrap_or(usize::MAX);
    CONNECTIONS.min((limit - OTHER_DESCRIPTORS) / DESCRIPTORS)
}

#[test]
fn a_thousand_half_closed_connections_leave_nothing_behind() {
    let count = count();
    let (service, served) = silent_service();
    let max = CONNECTIONS;
    let hub = started(Wire::hub("127.0.0.1:0").max_streams(max));
    let (told, outcomes) = unbounded::<io::Result<Piped>>();
    let of_owner = told.clone();
    let owner = joining(&hub).max_streams(max).thread_name("leak");
    let owner = started(owner.stream("service", move |stream| {
        of_owner
            .send(stream.pipe_with(TcpStream::connect(service)?))
            .unwrap();
        Ok(())
    }));
    owner.wait_session(PATIENCE).unwrap();
    let caller = started(joining(&hub).max_streams(max).thread_name("leak"));
    let session = caller.wait_session(PATIENCE).unwrap();
    let entrance = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = entrance.local_addr().unwrap();
    let descriptors = threads::descriptors();

    let (mut clients, mut services) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let client = TcpStream::connect(addr).unwrap();
        let (tcp, _) = entrance.accept().unwrap();
        let (session, told) = (session.clone(), told.clone());
        let forward = thread::Builder::new().name("leak-forward".into());
        let forward = forward.spawn(move || {
            let stream = session.open_stream("service").unwrap();
            told.send(stream.pipe_with(tcp)).unwrap();
        });
        drop(forward.unwrap());
        client.shutdown(Shutdown::Write).unwrap();
        clients.push(client);
        services.push(served.recv_timeout(PATIENCE).unwrap());
    }

    // The clients are gone.
    for client in clients {
        let socket = SockRef::from(&client);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
    let gone = Instant::now();
    for _ in 0..2 * count {
        let ended = outcomes.recv_timeout(PATIENCE).unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
    for mut service in services {
        // The system reports a reset after the end as an error of the next write, or of the
        // socket.
        assert!(service.take_error().unwrap().is_some() || service.read(&mut [0]).is_err());
    }
    threads::await_none("leak-pipe");
    threads::await_none("leak-forward");
    // The sockets of the service are closed by now, so that only the pipe's could be left.
    while threads::descriptors() > descriptors {
        assert!(gone.elapsed() < SOON, "{}", threads::descriptors());
        thread::yield_now();
    }
    println!("gone after {:?}", gone.elapsed());
    assert!(gone.elapsed() < SOON, "{:?}", gone.elapsed());
    // No stream is left: new ones are accepted.
    drop(session.open_stream("service").unwrap());
    caller.close().unwrap();
    owner.close().unwrap();
}
