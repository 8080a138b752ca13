//! A name server that fails at boot: the client retries, and looks the name up
//! again each time.

use crate::support::{
    PATIENCE, in_time,
    process::{self, Other},
    wires::{echo, message, starting},
};
use crossbeam_channel::unbounded;
use parking_lot::Mutex;
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};
use wirenet::{Operation, Wire};

const NAME: &str = "boot.wirenet.test";

/// How the name server responds to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Response {
    /// `SERVFAIL`: it cannot reach other name servers yet.
    Fails,
    Silent,
    /// `NXDOMAIN`: the name is not registered yet.
    NameUnknown,
    Answers,
}

/// A name server that knows one name. It listens at port 53, which may need
/// privileges.
struct NameServer {
    addr: Ipv4Addr,
    response: Arc<Mutex<Response>>,
}

impl NameServer {
    fn start(response: Response) -> io::Result<Self> {
        let [.., high, low] = std::process::id().to_be_bytes();
        let addr = Ipv4Addr::new(127, 77, high, low);
        let socket = UdpSocket::bind((addr, 53))?;
        let response = Arc::new(Mutex::new(response));
        let asked = Arc::clone(&response);
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((len, asker)) = socket.recv_from(&mut query) {
                let response = *asked.lock();
                if let Some(answer) = answer(&query[..len], response) {
                    socket.send_to(&answer, asker).unwrap();
                }
            }
        });
        Ok(Self { addr, response })
    }
}

/// Returns the answer to a query, as in section 4 of RFC 1035.
fn answer(query: &[u8], response: Response) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const A: u16 = 1;

    let labels = query[HEADER..].iter().position(|byte| *byte == 0)?;
    // The rest of the name, its type and its class.
    let question = &query[HEADER..][..labels + 5];
    let asks_for_a = question[labels + 1..][..2] == A.to_be_bytes();
    let (code, count) = match response {
        Response::Silent => return None,
        Response::Fails => (2, 0),
        Response::NameUnknown => (3, 0),
        Response::Answers => (0, u16::from(asks_for_a)),
    };
    let mut answer = query[..2].to_vec();
    for number in [0x8180 | code, 1, count, 0, 0] {
        answer.extend(number.to_be_bytes());
    }
    answer.extend(question);
    if count == 1 {
        // The name above, its type and class, a time to live of zero, four bytes.
        answer.extend([0xc0, HEADER as u8, 0, A as u8, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(Ipv4Addr::LOCALHOST.octets());
    }
    Some(answer)
}

/// Runs in a mount namespace of its own, with a `resolv.conf` of its own.
#[test]
fn other_process() {
    let Some(resolv_conf) = process::role() else {
        return;
    };
    let set_name_server = |server: &NameServer| {
        let text = format!("nameserver {}\noptions timeout:1 attempts:1\n", server.addr);
        fs::write(&resolv_conf, text).unwrap();
    };
    let Ok(names) = NameServer::start(Response::Answers) else {
        return process::tell("cannot").unwrap();
    };
    set_name_server(&names);
    let expected = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let found = (NAME, 1).to_socket_addrs();
    if !found.is_ok_and(|mut addrs| addrs.any(|addr| addr == expected)) {
        return process::tell("cannot").unwrap();
    }
    process::tell("can").unwrap();
    // The machine boots: it has no name server yet.
    fs::write(&resolv_conf, "").unwrap();
    let server = Wire::mount("127.0.0.1:0").stream("echo", echo);
    let server = server.build().unwrap();
    server.start().unwrap();
    let port = server.local_addr().expect("it listens").port();
    let (failed, fails) = unbounded();
    let client = Wire::join(format!("{NAME}:{port}"))
        .dial_timeout(Duration::from_millis(500))
        // Retries only on `reconnect_now`.
        .retry_policy(|retry| {
            assert!(!retry.cause.is_permanent() && retry.wait.is_some());
            Some(Duration::from_secs(3600))
        })
        .on_error(move |error| {
            let report = (error.operation.clone(), error.cause.to_string());
            failed.send(report).unwrap();
        });
    let client = client.build().unwrap();
    let starter = starting(&client);
    let assert_dial_failed = || {
        let (operation, cause) = fails.recv_timeout(PATIENCE).unwrap();
        assert_eq!(operation, Operation::Dial);
        println!("{cause}");
    };
    assert_dial_failed();
    set_name_server(&names);
    for response in [Response::Fails, Response::Silent, Response::NameUnknown] {
        *names.response.lock() = response;
        client.reconnect_now();
        assert_dial_failed();
    }
    *names.response.lock() = Response::Answers;
    client.reconnect_now();
    starter.join().unwrap().unwrap();
    let session = client.wait_session(PATIENCE).unwrap();
    let stream = session.open_stream("echo").unwrap();
    stream.write_message(b"here").unwrap();
    assert_eq!(message(&stream).unwrap(), b"here");
    process::tell("connected").unwrap();
}

#[test]
fn a_client_connects_once_a_name_server_that_failed_at_boot_answers() {
    in_time(|| {
        let resolv_conf = tempfile::NamedTempFile::new().unwrap();
        let path = resolv_conf.path().to_str().unwrap();
        let mount = format!("mount --bind {path} /etc/resolv.conf && exec \"$0\" \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &mount]);
        let other = Other::start_in(command, "name_lookup::other_process", path).ok();
        let told = other.as_ref().and_then(Other::may_tell);
        let (Some(other), Some("can")) = (other, told.as_deref()) else {
            let needs = "this test needs a mount namespace and port 53";
            assert!(
                std::env::var_os("CI").is_none(),
                "{needs}, and must run in CI"
            );
            println!("SKIPPED: {needs}");
            return;
        };
        assert_eq!(other.told(), "connected");
    });
}
