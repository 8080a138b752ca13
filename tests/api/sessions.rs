//! Sessions: how they are established, found, and described.

use crate::support::{
    in_time,
    wires::{Link, addr_of, as_it_is, assert_echoes, echo, joining, mounting, started},
};
use crossbeam_channel::{bounded, unbounded};
use std::{collections::HashSet, thread};
use wirenet::{Error, SessionId, Wire};

#[test]
fn a_client_connects_and_both_sides_have_the_session() {
    in_time(|| {
        let (at_server, server_opens) = bounded(1);
        let (at_client, client_opens) = bounded(1);
        let server = started(
            mounting()
                .stream("of-server", |_| Ok(()))
                .on_session_open(move |session| at_server.send(session.clone()).unwrap()),
        );
        let client = joining(&server)
            .identification("client1", "")
            .stream("of-client", |_| Ok(()))
            .on_session_open(move |session| at_client.send(session.clone()).unwrap());
        let client = client.build().unwrap();
        let connecting = client.clone();
        let connection = thread::spawn(move || connecting.connect());
        let near = client_opens.recv().unwrap();
        let far = server_opens.recv().unwrap();
        assert_eq!(near.id(), far.id());
        assert_eq!(near.identification(), b"client1");
        assert_eq!(far.identification(), b"client1");
        assert_eq!(near.stream_names(), ["of-server"]);
        assert_eq!(far.stream_names(), ["of-client"]);
        assert_eq!(near.peer_addr(), Some(addr_of(&server)));
        assert_eq!(near.peer_addr(), far.local_addr());
        assert_eq!(near.local_addr(), far.peer_addr());
        assert_eq!(client.local_addr(), near.local_addr());
        assert!(!near.is_closed() && !near.is_closing());
        client.close().unwrap();
        connection.join().unwrap().unwrap();
    });
}

#[test]
fn a_wire_connects_once_at_a_time() {
    in_time(|| {
        let link = Link::new(as_it_is, as_it_is);
        for wire in [&link.client, &link.server] {
            for outcome in [wire.connect(), wire.start()] {
                assert!(
                    matches!(outcome, Err(Error::AlreadyConnected)),
                    "{outcome:?}"
                );
            }
        }
        // Nothing has changed.
        assert_eq!(link.client.sessions().len(), 1);
        assert_eq!(link.server.stats().sessions, 1);
    });
}

#[test]
fn sessions_are_found_by_their_ids() {
    in_time(|| {
        let (ended, ends) = unbounded();
        let server = started(mounting().on_session_close(move |session| {
            ended.send(session.id()).unwrap();
        }));
        let clients: Vec<Wire> = (0..5)
            .map(|number| started(joining(&server).identification(format!("{number}"), "")))
            .collect();
        let ids: HashSet<SessionId> = clients
            .iter()
            .map(|client| client.sessions()[0].id())
            .collect();
        assert_eq!(ids.len(), clients.len());
        for (number, client) in clients.iter().enumerate() {
            let id = client.sessions()[0].id();
            assert_eq!(client.session(id).unwrap().id(), id);
            // The server may register it a moment later.
            while server.session(id).is_none() {
                thread::yield_now();
            }
            let found = server.session(id).unwrap();
            assert_eq!(found.identification(), number.to_string().as_bytes());
            assert_eq!(id.to_string().len(), 36);
            assert_eq!(found.id().as_bytes(), id.as_bytes());
        }
        let gone = clients[0].sessions()[0].id();
        clients[0].close().unwrap();
        assert_eq!(ends.recv().unwrap(), gone);
        assert!(server.session(gone).is_none() && clients[0].session(gone).is_none());
        assert!(clients[1].session(gone).is_none());
        assert_eq!(server.sessions().len(), clients.len() - 1);
    });
}

#[test]
fn both_sides_open_streams_on_one_session() {
    in_time(|| {
        let link = Link::new(
            |server| server.stream("echo", echo),
            |client| client.stream("echo", echo),
        );
        thread::scope(|scope| {
            for session in [&link.near, &link.far] {
                for _ in 0..4 {
                    scope.spawn(move || (0..10).for_each(|_| assert_echoes(session)));
                }
            }
        });
    });
}
