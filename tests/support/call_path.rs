//! Paths from a caller to an owner: directly or through a hub, with a slow link at one
//! of several places, over TCP or TLS. Promises must hold on all of them.

use super::{
    PATIENCE,
    fault_proxy::{FaultProxy, Profile},
    tls,
    wires::{addr_of, started},
};
use std::{
    fmt,
    time::{Duration, Instant},
};
use wirenet::{Builder, Session, Wire};

/// The name of the stream that tests of a path serve.
pub const NAME: &str = "served";

/// Where the slow link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// Between the caller and the owner, which is the server.
    Direct,
    /// Between the caller and a hub.
    ToCaller,
    /// Between a hub and the owner.
    ToOwner,
}

/// A kind of path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Way {
    pub slow: Slow,
    pub tls: bool,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = if self.tls { "TLS" } else { "TCP" };
        write!(f, "{:?} over {over}", self.slow)
    }
}

/// All kinds of paths. Only those over TLS if the environment selects TLS.
pub fn ways() -> Vec<Way> {
    let slow = [Slow::Direct, Slow::ToCaller, Slow::ToOwner];
    let over = |tls| move |slow| Way { slow, tls };
    let tls = cfg!(feature = "tls").then_some(true);
    let plain = (!tls::is_selected()).then_some(false);
    let both = plain.into_iter().chain(tls);
    both.flat_map(|tls| slow.map(over(tls))).collect()
}

/// The options of the sides of a path.
pub struct Sides<O, C, H> {
    /// The side with the handlers.
    pub owner: O,
    pub caller: C,
    /// The hub, if there is one.
    pub hub: H,
}

/// An open path. Its wires are closed when it is dropped.
pub struct Path {
    pub caller: Wire,
    /// The caller's session.
    pub session: Session,
    pub owner: Wire,
    pub hub: Option<Wire>,
    pub link: FaultProxy,
}

impl Path {
    /// Opens a path. The link is fast until the test sets its rate, so that handshakes
    /// are. Clients do not reconnect.
    pub fn new(
        way: Way,
        queue: usize,
        sides: Sides<
            impl FnOnce(Builder) -> Builder,
            impl FnOnce(Builder) -> Builder,
            impl FnOnce(Builder) -> Builder,
        >,
    ) -> Self {
        let link = Profile {
            rate: None,
            ..Profile::slow(1, queue)
        };
        let server = |builder| tls::server(builder, way.tls);
        let client = |addr: String| tls::client(Wire::join(addr), way.tls).retry_max(0);
        let link_to = |wire: &Wire| FaultProxy::to(addr_of(wire), link).expect("a link");
        if way.slow == Slow::Direct {
            let owner = started((sides.owner)(server(Wire::mount("127.0.0.1:0"))));
            let link = link_to(&owner);
            let caller = started_with_retries((sides.caller)(client(link.addr.to_string())));
            return Self {
                session: session_of(&caller),
                caller,
                owner,
                hub: None,
                link,
            };
        }
        let hub = started((sides.hub)(server(Wire::hub("127.0.0.1:0"))));
        let link = link_to(&hub);
        let through = |slow| match way.slow == slow {
            true => link.addr.to_string(),
            false => addr_of(&hub).to_string(),
        };
        let owner = started_with_retries((sides.owner)(client(through(Slow::ToOwner))));
        let caller = started_with_retries((sides.caller)(client(through(Slow::ToCaller))));
        Self {
            session: session_of(&caller),
            caller,
            owner,
            hub: Some(hub),
            link,
        }
    }
}

/// Starts a client, with several attempts: on a busy machine, a handshake may take longer
/// than the timeout that the test sets.
fn started_with_retries(builder: Builder) -> Wire {
    let wire = builder.build().expect("a wire");
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = wire.start() {
        assert!(Instant::now() < deadline, "{error}");
    }
    wire
}

fn session_of(wire: &Wire) -> Session {
    wire.wait_session(PATIENCE).expect("a session")
}

/// A close timeout well below the time that a test may take. Streams that are open then
/// are cut.
pub const CLOSE: Duration = Duration::from_millis(200);
