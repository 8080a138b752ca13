//! A caller and an owner of streams, directly or through a hub, with a slow link
//! in between, over TCP or TLS: the ways on which a promise has to hold.

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

/// The name under which tests of a path have their stream served.
pub const NAME: &str = "served";

/// Where the slow link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// The owner is the server, and the link leads to it.
    Direct,
    /// Between the caller and a hub.
    ToCaller,
    /// Between a hub and the owner.
    ToOwner,
}

/// One way from a caller to an owner.
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

/// All ways; over TLS alone where the tests are to run over TLS.
pub fn ways() -> Vec<Way> {
    let slow = [Slow::Direct, Slow::ToCaller, Slow::ToOwner];
    let over = |tls| move |slow| Way { slow, tls };
    let tls = cfg!(feature = "tls").then_some(true);
    let plain = (!tls::is_selected()).then_some(false);
    let both = plain.into_iter().chain(tls);
    both.flat_map(|tls| slow.map(over(tls))).collect()
}

/// How the sides of a path are set up.
pub struct Sides<O, C, H> {
    /// Who has the handlers.
    pub owner: O,
    pub caller: C,
    /// The hub, if there is one.
    pub hub: H,
}

/// A path that is up; its wires close when it is dropped.
pub struct Path {
    pub caller: Wire,
    /// The caller's session.
    pub session: Session,
    pub owner: Wire,
    pub hub: Option<Wire>,
    pub link: FaultProxy,
}

impl Path {
    /// Sets a path up. The link is fast until the test sets its rate: what a
    /// handshake needs is not what is looked at. Nobody comes back by itself.
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
        let relay = |wire: &Wire| FaultProxy::to(addr_of(wire), link).expect("a link");
        if way.slow == Slow::Direct {
            let owner = started((sides.owner)(server(Wire::mount("127.0.0.1:0"))));
            let link = relay(&owner);
            let caller = started_at_last((sides.caller)(client(link.addr.to_string())));
            return Self {
                session: session_of(&caller),
                caller,
                owner,
                hub: None,
                link,
            };
        }
        let hub = started((sides.hub)(server(Wire::hub("127.0.0.1:0"))));
        let link = relay(&hub);
        let through = |slow| match way.slow == slow {
            true => link.addr.to_string(),
            false => addr_of(&hub).to_string(),
        };
        let owner = started_at_last((sides.owner)(client(through(Slow::ToOwner))));
        let caller = started_at_last((sides.caller)(client(through(Slow::ToCaller))));
        Self {
            session: session_of(&caller),
            caller,
            owner,
            hub: Some(hub),
            link,
        }
    }
}

/// A client that is up, however short a handshake may be that the test asks for and
/// however busy the machine is.
fn started_at_last(builder: Builder) -> Wire {
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

/// Well below the time that a test may take; what is left open then is cut.
pub const CLOSE: Duration = Duration::from_millis(200);
