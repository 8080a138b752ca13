//! Connections on which a session is being opened: no more than so many, of
//! which one address cannot keep all, and all of them known to a close.

use super::{reports::About, shared::Shared};
use std::{
    net::{IpAddr, Ipv6Addr, TcpStream},
    sync::Arc,
};

pub(super) struct Handshakes<S = TcpStream> {
    /// The oldest first.
    under_way: Vec<Place<S>>,
    /// How many of them each origin has.
    held: Vec<(Origin, usize)>,
    /// Those that gave way, until their threads have noticed.
    leaving: Vec<u64>,
    next: u64,
    limit: usize,
}

struct Place<S> {
    number: u64,
    origin: Origin,
    stream: S,
    /// It has said all, and waits for what is in its way to leave.
    waits: bool,
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

impl<S> Handshakes<S> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            under_way: Vec::new(),
            held: Vec::new(),
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
        let evicted = if self.under_way.len() < self.limit {
            None
        } else {
            // Each has a thread, which may be in the user's code.
            let index = (self.leaving.len() < self.limit)
                .then(|| self.one_too_many(origin).or_else(|| self.patient(origin)));
            let index = index.flatten().ok_or(NoHandshake::TooMany(self.limit))?;
            let place = self.remove(index);
            self.leaving.push(place.number);
            Some(place.stream)
        };
        let number = self.next;
        self.next += 1;
        match self.held.iter_mut().find(|(other, _)| *other == origin) {
            Some((_, count)) => *count += 1,
            None => self.held.push((origin, 1)),
        }
        self.under_way.push(Place {
            number,
            origin,
            stream,
            waits: false,
        });
        Ok((number, evicted))
    }

    /// How many places an origin has.
    fn held(&self, origin: Origin) -> usize {
        let mut all = self.held.iter();
        all.find(|(other, _)| *other == origin)
            .map_or(0, |(_, count)| *count)
    }

    /// The oldest place of the origin that has most, if that is then left with no
    /// fewer than the newcomer's: so no two can take turns for ever.
    fn one_too_many(&self, newcomer: Origin) -> Option<usize> {
        let most = self.held.iter().map(|(_, count)| *count).max()?;
        if most < self.held(newcomer) + 2 {
            return None;
        }
        let mut oldest = self.under_way.iter();
        oldest.position(|place| self.held.contains(&(place.origin, most)))
    }

    /// The oldest place of who merely waits: of the newcomer's origin, or of one that
    /// has more.
    fn patient(&self, newcomer: Origin) -> Option<usize> {
        let own = self.held(newcomer);
        let mut oldest = self.under_way.iter();
        oldest.position(|place| {
            place.waits && (place.origin == newcomer || self.held(place.origin) > own)
        })
    }

    /// Whether nothing is done for this connection but to wait.
    pub(super) fn set_waits(&mut self, number: u64, waits: bool) {
        let mut all = self.under_way.iter_mut();
        if let Some(place) = all.find(|place| place.number == number) {
            place.waits = waits;
        }
    }

    fn remove(&mut self, index: usize) -> Place<S> {
        let place = self.under_way.remove(index);
        if let Some((_, count)) = self.held.iter_mut().find(|(held, _)| *held == place.origin) {
            *count -= 1;
        }
        self.held.retain(|(_, count)| *count > 0);
        place
    }

    /// The session is to stand: frees the place; `None` when it was lost.
    pub(super) fn complete(&mut self, number: u64) -> Option<S> {
        let mut all = self.under_way.iter();
        let index = all.position(|place| place.number == number)?;
        Some(self.remove(index).stream)
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
        self.held.clear();
        let all = self.under_way.drain(..);
        all.map(|place| place.stream).collect()
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
    fn who_merely_waits_gives_way_to_its_own_address_and_to_one_that_has_less() {
        let other = [192, 0, 2, 2];
        let mut handshakes = full(&[MANY, MANY, other]);
        handshakes.set_waits(1, true);
        let (_, evicted) = handshakes.begin(IpAddr::from(MANY).into(), 3).unwrap();
        assert_eq!(evicted, Some(1));
        handshakes.begin(IpAddr::from(MANY).into(), 4).unwrap_err();
        handshakes.set_waits(2, true);
        // Of two addresses with as much, neither.
        let mut handshakes = full(&[other, MANY]);
        handshakes.set_waits(0, true);
        handshakes.begin(IpAddr::from(MANY).into(), 2).unwrap_err();
        let (_, evicted) = handshakes.begin(origin("::1"), 2).unwrap();
        assert_eq!(evicted, Some(0));
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
