//! Connections on which a session is being opened: no more than so many, of
//! which one address cannot keep all, and all of them known to a close.

use super::{reports::About, shared::Shared};
use std::{
    net::{IpAddr, Ipv6Addr, TcpStream},
    sync::Arc,
};

pub(super) struct Handshakes<S = TcpStream> {
    under_way: Places<S>,
    /// Those that have said all, and wait for what is in their way to leave. As many
    /// as there may be under way: so they keep no place from others, and others
    /// none from them.
    waiting: Places<S>,
    /// Those that gave way, until their threads have noticed.
    leaving: Vec<u64>,
    next: u64,
    limit: usize,
}

struct Places<S> {
    /// The oldest first.
    all: Vec<Place<S>>,
    /// How many of them each origin has.
    held: Vec<(Origin, usize)>,
}

struct Place<S> {
    number: u64,
    origin: Origin,
    stream: S,
}

/// Whom a place counts for: an IPv4 address, or the /64 of an IPv6 address,
/// which is what one host has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(addr: IpAddr) -> Self {
        // A listener for both versions gets IPv4 addresses inside of IPv6 ones.
        Self(match addr.to_canonical() {
            IpAddr::V6(addr) => {
                let network = addr.to_bits() & !u128::from(u64::MAX);
                Ipv6Addr::from_bits(network).into()
            }
            v4 => v4,
        })
    }
}

/// Why no session can be opened on a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHandshake {
    #[error("connection closed: {0} handshakes are under way")]
    TooMany(usize),
    #[error("connection closed: it gave way to another address's, which has fewer handshakes")]
    GaveWay,
    #[error("connection closed: the wire is")]
    Closed,
    #[error("connection closed: {0}")]
    Io(#[from] std::io::Error),
}

impl<S> Places<S> {
    fn new() -> Self {
        Self {
            all: Vec::new(),
            held: Vec::new(),
        }
    }

    fn push(&mut self, place: Place<S>) {
        let origin = place.origin;
        match self.held.iter_mut().find(|(other, _)| *other == origin) {
            Some((_, count)) => *count += 1,
            None => self.held.push((origin, 1)),
        }
        self.all.push(place);
    }

    /// Takes the oldest place of the origin that has most, if that is then left
    /// with no fewer than the newcomer's: so no two can take turns for ever.
    fn evict_for(&mut self, newcomer: Origin) -> Option<Place<S>> {
        let held = |origin| {
            let mut all = self.held.iter();
            all.find(|(other, _)| *other == origin)
                .map_or(0, |(_, count)| *count)
        };
        let most = self.held.iter().map(|(_, count)| *count).max()?;
        if most < held(newcomer) + 2 {
            return None;
        }
        let mut oldest = self.all.iter();
        let index = oldest.position(|place| self.held.contains(&(place.origin, most)))?;
        Some(self.remove(index))
    }

    fn take(&mut self, number: u64) -> Option<Place<S>> {
        let index = self.all.iter().position(|place| place.number == number)?;
        Some(self.remove(index))
    }

    fn remove(&mut self, index: usize) -> Place<S> {
        let place = self.all.remove(index);
        if let Some((_, count)) = self.held.iter_mut().find(|(held, _)| *held == place.origin) {
            *count -= 1;
        }
        self.held.retain(|(_, count)| *count > 0);
        place
    }
}

impl<S> Handshakes<S> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            under_way: Places::new(),
            waiting: Places::new(),
            leaving: Vec::new(),
            next: 0,
            limit,
        }
    }

    /// Notes one more, and gives its number; and the connection that gave way
    /// to it, if one had to, for the caller to shut down.
    pub(super) fn begin(
        &mut self,
        origin: Origin,
        stream: S,
    ) -> Result<(u64, Option<S>), NoHandshake> {
        let evicted = self.make_room(|all| &mut all.under_way, origin)?;
        let number = self.next;
        self.next += 1;
        self.under_way.push(Place {
            number,
            origin,
            stream,
        });
        Ok((number, evicted))
    }

    fn make_room(
        &mut self,
        places: impl Fn(&mut Self) -> &mut Places<S>,
        newcomer: Origin,
    ) -> Result<Option<S>, NoHandshake> {
        let limit = self.limit;
        if places(self).all.len() < limit {
            return Ok(None);
        }
        // Each has a thread, which may be in the user's code.
        let evicted = match self.leaving.len() < limit {
            true => places(self).evict_for(newcomer),
            false => None,
        };
        let evicted = evicted.ok_or(NoHandshake::TooMany(limit))?;
        self.leaving.push(evicted.number);
        Ok(Some(evicted.stream))
    }

    /// One of them has to wait; gives the connection that gave way to it, if one
    /// had to, for the caller to shut down.
    ///
    /// # Errors
    ///
    /// When too many wait.
    pub(super) fn begin_wait(&mut self, number: u64) -> Result<Option<S>, NoHandshake> {
        let Some(place) = self.under_way.take(number) else {
            // It gave way, and notices.
            return Ok(None);
        };
        let evicted = self.make_room(|all| &mut all.waiting, place.origin);
        let places = match &evicted {
            Ok(_) => &mut self.waiting,
            // It keeps its place; the caller gets the error.
            Err(_) => &mut self.under_way,
        };
        places.push(place);
        evicted
    }

    /// It waits no more. It had a place before others that are under way now.
    pub(super) fn end_wait(&mut self, number: u64) {
        if let Some(place) = self.waiting.take(number) {
            self.under_way.push(place);
        }
    }

    /// The session is to stand: frees the place; `None` when it was lost.
    pub(super) fn complete(&mut self, number: u64) -> Option<S> {
        let place = self.under_way.take(number);
        let place = place.or_else(|| self.waiting.take(number))?;
        Some(place.stream)
    }

    /// Nothing is done for this connection any more.
    pub(super) fn end(&mut self, number: u64) -> Option<S> {
        self.leaving.retain(|other| *other != number);
        self.complete(number)
    }

    /// Whether it lost its place to another.
    pub(super) fn gave_way(&self, number: u64) -> bool {
        self.leaving.contains(&number)
    }

    /// All of them, for a close to cut.
    pub(super) fn take_all(&mut self) -> Vec<S> {
        let mut all = Vec::new();
        for places in [&mut self.under_way, &mut self.waiting] {
            places.held.clear();
            all.extend(places.all.drain(..).map(|place| place.stream));
        }
        all
    }
}

/// A handshake under way, for as long as this lives or its session stands.
pub(super) struct Pending {
    wire: Arc<Shared>,
    number: u64,
    /// Noted at once: a socket whose peer has left does not know it any more.
    /// Boxed, because it is only wanted where something fails.
    about: Box<About>,
}

impl Pending {
    pub(super) fn new(wire: &Arc<Shared>, number: u64, about: Box<About>) -> Self {
        let wire = Arc::clone(wire);
        Self {
            wire,
            number,
            about,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn wire(&self) -> &Arc<Shared> {
        &self.wire
    }

    /// The connection's addresses.
    pub(super) fn about(&self) -> About {
        (*self.about).clone()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.wire.end_handshake(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(addr: &str) -> Origin {
        addr.parse::<IpAddr>().unwrap().into()
    }

    const MANY: [u8; 4] = [192, 0, 2, 1];

    /// With as many places as there are addresses, all taken by these.
    fn full(addrs: &[[u8; 4]]) -> Handshakes<usize> {
        let mut handshakes = Handshakes::new(addrs.len());
        for (index, addr) in addrs.iter().enumerate() {
            let begun = handshakes.begin(IpAddr::from(*addr).into(), index);
            assert_eq!(begun.unwrap(), (index as u64, None));
        }
        handshakes
    }

    #[test]
    fn while_there_is_room_one_address_may_have_all_places() {
        let mut handshakes = full(&[MANY; 4]);
        let refused = handshakes.begin(IpAddr::from(MANY).into(), 4).unwrap_err();
        assert!(matches!(refused, NoHandshake::TooMany(4)));
        assert_eq!(handshakes.end(2), Some(2));
        handshakes.begin(IpAddr::from(MANY).into(), 4).unwrap();
    }

    #[test]
    fn a_newcomer_takes_the_oldest_place_of_the_address_that_has_most() {
        let other = [192, 0, 2, 2];
        let mut handshakes = full(&[other, MANY, MANY, MANY]);
        let (number, evicted) = handshakes.begin(origin("192.0.2.3"), 4).unwrap();
        assert_eq!(evicted, Some(1));
        assert!(handshakes.gave_way(1));
        assert_eq!(handshakes.complete(1), None, "its session cannot stand");
        assert_eq!(handshakes.complete(number), Some(4));
    }

    #[test]
    fn those_who_wait_have_places_of_their_own_which_are_shared_out_alike() {
        let mut handshakes = full(&[MANY, MANY]);
        for number in [0, 1] {
            assert_eq!(handshakes.begin_wait(number).unwrap(), None);
        }
        for stream in [2, 3] {
            handshakes.begin(IpAddr::from(MANY).into(), stream).unwrap();
        }
        handshakes.begin(IpAddr::from(MANY).into(), 4).unwrap_err();
        // One of its own that cannot wait keeps its place.
        handshakes.begin_wait(2).unwrap_err();
        assert_eq!(handshakes.complete(2), Some(2));
        let (other, _) = handshakes.begin(origin("::1"), 5).unwrap();
        assert_eq!(handshakes.begin_wait(other).unwrap(), Some(0));
        assert!(handshakes.gave_way(0));
        handshakes.end_wait(other);
        assert_eq!(handshakes.begin_wait(3).unwrap(), None);
        assert_eq!(handshakes.take_all(), [5, 1, 3]);
    }

    #[test]
    fn nobody_gives_way_to_one_that_would_have_as_many() {
        let other = [192, 0, 2, 2];
        for addrs in [[MANY, MANY, other], [MANY, other, [192, 0, 2, 3]]] {
            let mut handshakes = full(&addrs);
            handshakes.begin(IpAddr::from(other).into(), 3).unwrap_err();
        }
        // Fewer than the newcomer's would be left with.
        full(&[MANY, other]).begin(origin("::1"), 2).unwrap_err();
    }

    #[test]
    fn those_that_gave_way_and_do_not_leave_are_no_more_than_the_places() {
        let mut handshakes = full(&[MANY; 4]);
        handshakes.leaving.extend(100..104);
        handshakes.begin(origin("192.0.2.3"), 4).unwrap_err();
        handshakes.end(103);
        handshakes.begin(origin("192.0.2.3"), 4).unwrap();
    }

    #[test]
    fn an_ipv6_host_counts_as_one_and_so_does_an_ipv4_host_however_it_is_written() {
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:0:0:1"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
        assert_ne!(origin("::ffff:192.0.2.1"), origin("::ffff:192.0.2.2"));
    }
}
