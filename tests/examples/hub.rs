use crate::data::parts;
use crate::program::{DEADLINE, NONE, join, serve};
use std::{io::Read, sync::mpsc::channel};
use wirenet::{Session, Wire};

/// A short interval, for a fast test.
const PACE: [&str; 2] = ["--interval-ms", "5"];

#[test]
fn the_nodes_call_each_other() {
    let (hub, addr) = serve("hub", "hub", NONE);
    let node_b = join("hub", "node_b", &addr, NONE);
    node_b.line("connected");
    let node_a = join("hub", "node_a", &addr, PACE);
    // B calls back while A is sending.
    let mut said = node_a.lines_to("FIN");
    said.pop();
    assert_eq!(said, ["GGGGG"]);

    node_b.line("node A calls");
    let mut heard = node_b.lines_to("FIN");
    heard.pop();
    let expected = parts().concat();
    assert_eq!(heard, expected.lines().collect::<Vec<_>>());

    // Both nodes continue to serve until they are stopped.
    node_a.terminate().assert_success();
    node_b.terminate().assert_success();
    let hub = hub.terminate();
    hub.assert_success();
    for what in ["open session ", "close session "] {
        let lines = hub.stdout.iter().filter(|line| line.starts_with(what));
        assert_eq!(lines.count(), 2, "{hub:?}");
    }
}

fn client(addr: &str, wire: impl FnOnce(wirenet::Builder) -> wirenet::Builder) -> (Wire, Session) {
    let wire = wire(Wire::join(addr)).on_error(|_| {}).build().unwrap();
    wire.start().unwrap();
    let session = wire.wait_session(DEADLINE).unwrap();
    (wire, session)
}

#[test]
fn each_part_is_a_message() {
    let (hub, addr) = serve("hub", "hub", NONE);
    let (tell, told) = channel();
    let (_node_b, _) = client(&addr, |wire| {
        wire.stream("nodeB:hello", move |stream| {
            while stream.next_message()? {
                let mut message = String::new();
                stream.reader().read_to_string(&mut message)?;
                tell.send((message, stream.was_finished())).unwrap();
            }
            Ok(())
        })
    });
    let node_a = join("hub", "node_a", &addr, PACE);
    for part in parts() {
        assert_eq!(told.recv_timeout(DEADLINE).unwrap(), (part, true));
    }
    node_a.line("FIN");
    node_a.terminate();
    hub.terminate();
}

#[test]
fn node_b_calls_back_while_it_is_called() {
    let (hub, addr) = serve("hub", "hub", NONE);
    let node_b = join("hub", "node_b", &addr, NONE);
    node_b.line("connected");
    let (tell, told) = channel();
    let (node_a, session) = client(&addr, |wire| {
        wire.stream("nodeA:hello", move |stream| {
            let mut message = String::new();
            stream.reader().read_to_string(&mut message)?;
            tell.send((message, stream.was_finished())).unwrap();
            // The Go program ends neither its own message nor its stream.
            Ok(())
        })
    });
    let stream = session.open_stream("nodeB:hello").unwrap();
    let called_back = told.recv_timeout(DEADLINE).unwrap();
    assert_eq!(called_back, ("GGGGG".into(), true));
    stream.write_message(b"one\ntwo\n").unwrap();
    assert_eq!(node_b.line("on"), "e");
    stream.close().unwrap();
    assert_eq!(node_b.lines_to("FIN"), ["two", ""]);
    node_a.close().unwrap();
    node_b.terminate().assert_success();
    hub.terminate().assert_success();
}

#[test]
fn a_missing_node_is_reported() {
    let (hub, addr) = serve("hub", "hub", NONE);
    let node_a = join("hub", "node_a", &addr, PACE).end();
    node_a.assert_failure("error: stream \"nodeB:hello\" refused: ");
    // The hub reports the refusal too.
    assert!(hub.terminate().stderr.contains("nodeB:hello"));
}

#[test]
fn nodes_may_be_stopped_during_a_call() {
    let (hub, addr) = serve("hub", "hub", NONE);
    let node_b = join("hub", "node_b", &addr, NONE);
    node_b.line("connected");
    let node_a = join("hub", "node_a", &addr, ["--interval-ms", "100000"]);
    node_b.line("0. part1 Hello from nodeA");
    node_a.terminate();
    // Node B does not take the cut call for a complete one.
    let ended = node_b.terminate();
    assert!(!ended.stdout.contains(&"FIN".to_string()), "{ended:?}");
    hub.terminate();
}

#[test]
fn stopping_the_hub_ends_node_a_while_node_b_waits_for_the_hub() {
    let (hub, addr) = serve("hub", "hub", NONE);
    let node_b = join("hub", "node_b", &addr, NONE);
    node_b.line("connected");
    let node_a = join("hub", "node_a", &addr, PACE);
    node_a.line("FIN");
    hub.terminate();
    let node_a = node_a.end();
    node_a.assert_failure("error: the hub ended the session");
    node_b.terminate();
}
