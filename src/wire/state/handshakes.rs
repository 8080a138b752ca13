//! Connections on which a session is being opened. Their number is limited, one
//! address cannot block the others, and a close can find them all.

use std::net::{IpAddr, Ipv6Addr, TcpStream};

/// The handshakes of a wire, by number.
pub(crate) struct Handshakes<S = TcpStream> {
    under_way: Entries<S>,
    /// Handshakes that wait for another session to leave. They have their own limit,
    /// equal to that of `under_way`, so that neither kind takes the other's places.
    waiting: Entries<S>,
    /// Evicted handshakes, until their threads have noticed.
    leaving: Vec<u64>,
    next: u64,
    limit: usize,
}

struct Entries<S> {
    /// Oldest first.
    all: Vec<HandshakeEntry<S>>,
    /// The number of entries of each origin.
    per_origin: Vec<(Origin, usize)>,
}

struct HandshakeEntry<S> {
    number: u64,
    origin: Origin,
    stream: S,
}

/// The origin that an entry counts for: an IPv4 address, or the /64 network of an
/// IPv6 address, because one host usually has a whole /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(addr: IpAddr) -> Self {
        // A dual-stack listener gets IPv4 addresses mapped into IPv6 ones.
        Self(match addr.to_canonical() {
            IpAddr::V6(addr) => {
                let network = addr.to_bits() & !u128::from(u64::MAX);
                Ipv6Addr::from_bits(network).into()
            }
            v4 => v4,
        })
    }
}

/// Why no handshake can run on a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoHandshake {
    #[error("connection closed: {0} handshakes are under way; see `Builder::max_handshakes`")]
    TooMany(usize),
    #[error(
        "connection closed: evicted in favor of an address with fewer handshakes; see \
         `Builder::max_handshakes`"
    )]
    Evicted,
    #[error("connection closed: the wire is closed")]
    Closed,
    #[error("connection closed: {0}")]
    Io(#[from] std::io::Error),
}

impl<S> Entries<S> {
    fn new() -> Self {
        Self {
            all: Vec::new(),
            per_origin: Vec::new(),
        }
    }

    fn push(&mut self, entry: HandshakeEntry<S>) {
        let origin = entry.origin;
        match self
            .per_origin
            .iter_mut()
            .find(|(other, _)| *other == origin)
        {
            Some((_, count)) => *count += 1,
            None => self.per_origin.push((origin, 1)),
        }
        self.all.push(entry);
    }

    /// Removes the oldest entry of the origin that has most, if it then still has at least
    /// as many as the newcomer's origin will have. This condition keeps two origins from
    /// evicting each other in turn forever.
    fn evict_for(&mut self, newcomer: Origin) -> Option<HandshakeEntry<S>> {
        let held = |origin| {
            let mut all = self.per_origin.iter();
            all.find(|(other, _)| *other == origin)
                .map_or(0, |(_, count)| *count)
        };
        let most = self.per_origin.iter().map(|(_, count)| *count).max()?;
        if most < held(newcomer) + 2 {
            return None;
        }
        let mut oldest = self.all.iter();
        let index = oldest.position(|entry| self.per_origin.contains(&(entry.origin, most)))?;
        Some(self.remove(index))
    }

    fn take(&mut self, number: u64) -> Option<HandshakeEntry<S>> {
        let index = self.all.iter().position(|entry| entry.number == number)?;
        Some(self.remove(index))
    }

    fn remove(&mut self, index: usize) -> HandshakeEntry<S> {
        let entry = self.all.remove(index);
        if let Some((_, count)) = self
            .per_origin
            .iter_mut()
            .find(|(held, _)| *held == entry.origin)
        {
            *count -= 1;
        }
        self.per_origin.retain(|(_, count)| *count > 0);
        entry
    }
}

impl<S> Handshakes<S> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            under_way: Entries::new(),
            waiting: Entries::new(),
            leaving: Vec::new(),
            next: 0,
            limit,
        }
    }

    /// Adds a handshake. Returns its number, and the connection that was evicted for it,
    /// if any, which the caller must shut down.
    ///
    /// # Errors
    ///
    /// When there is no place and no entry can be evicted.
    pub(crate) fn begin(
        &mut self,
        origin: Origin,
        stream: S,
    ) -> Result<(u64, Option<S>), NoHandshake> {
        let evicted = self.make_room(|all| &mut all.under_way, origin)?;
        Ok((self.begin_only(origin, stream), evicted))
    }

    /// Adds the handshake of a client, which runs one at a time. Returns its number.
    pub(crate) fn begin_only(&mut self, origin: Origin, stream: S) -> u64 {
        let number = self.next;
        self.next += 1;
        self.under_way.push(HandshakeEntry {
            number,
            origin,
            stream,
        });
        number
    }

    fn make_room(
        &mut self,
        entries: impl Fn(&mut Self) -> &mut Entries<S>,
        newcomer: Origin,
    ) -> Result<Option<S>, NoHandshake> {
        let limit = self.limit;
        if entries(self).all.len() < limit {
            return Ok(None);
        }
        // Each evicted handshake still has a thread, which may be in the program's code.
        let evicted = match self.leaving.len() < limit {
            true => entries(self).evict_for(newcomer),
            false => None,
        };
        let evicted = evicted.ok_or(NoHandshake::TooMany(limit))?;
        self.leaving.push(evicted.number);
        Ok(Some(evicted.stream))
    }

    /// Moves a handshake to those that wait. Returns the connection that was evicted for
    /// it, if any, which the caller must shut down.
    ///
    /// # Errors
    ///
    /// When too many wait.
    pub(crate) fn begin_wait(&mut self, number: u64) -> Result<Option<S>, NoHandshake> {
        let Some(entry) = self.under_way.take(number) else {
            // The handshake was evicted, and its thread will notice.
            return Ok(None);
        };
        let evicted = self.make_room(|all| &mut all.waiting, entry.origin);
        let entries = match &evicted {
            Ok(_) => &mut self.waiting,
            // The entry stays where it was; the caller gets the error.
            Err(_) => &mut self.under_way,
        };
        entries.push(entry);
        evicted
    }

    /// Moves a handshake back from those that wait, even if that exceeds the limit,
    /// because it had its place first.
    pub(crate) fn end_wait(&mut self, number: u64) {
        if let Some(entry) = self.waiting.take(number) {
            self.under_way.push(entry);
        }
    }

    /// Removes a handshake whose session is established. Returns `None` if it was
    /// evicted.
    pub(crate) fn complete(&mut self, number: u64) -> Option<S> {
        let entry = self.under_way.take(number);
        let entry = entry.or_else(|| self.waiting.take(number))?;
        Some(entry.stream)
    }

    /// Removes a handshake, evicted or not.
    pub(crate) fn end(&mut self, number: u64) -> Option<S> {
        self.leaving.retain(|other| *other != number);
        self.complete(number)
    }

    /// Returns whether the handshake was evicted.
    pub(crate) fn was_evicted(&self, number: u64) -> bool {
        self.leaving.contains(&number)
    }

    /// Removes all handshakes, and returns their connections for a close to shut
    /// down.
    pub(crate) fn take_all(&mut self) -> Vec<S> {
        let mut all = Vec::new();
        for entries in [&mut self.under_way, &mut self.waiting] {
            entries.per_origin.clear();
            for entry in entries.all.drain(..) {
                all.push(entry.stream);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(addr: &str) -> Origin {
        addr.parse::<IpAddr>().unwrap().into()
    }

    const MANY: [u8; 4] = [192, 0, 2, 1];

    /// Returns as many places as there are addresses, all taken by these.
    fn full(addrs: &[[u8; 4]]) -> Handshakes<usize> {
        let mut handshakes = Handshakes::new(addrs.len());
        for (index, addr) in addrs.iter().enumerate() {
            let begun = handshakes.begin(IpAddr::from(*addr).into(), index);
            assert_eq!(begun.unwrap(), (index as u64, None));
        }
        handshakes
    }

    #[test]
    fn one_address_may_have_all_places_while_no_other_wants_one() {
        let mut handshakes = full(&[MANY; 4]);
        let refused = handshakes.begin(IpAddr::from(MANY).into(), 4).unwrap_err();
        assert!(matches!(refused, NoHandshake::TooMany(4)));
        assert_eq!(handshakes.end(2), Some(2));
        handshakes.begin(IpAddr::from(MANY).into(), 4).unwrap();
    }

    #[test]
    fn a_new_handshake_evicts_the_oldest_of_the_address_that_has_most() {
        let other = [192, 0, 2, 2];
        let mut handshakes = full(&[other, MANY, MANY, MANY]);
        let (number, evicted) = handshakes.begin(origin("192.0.2.3"), 4).unwrap();
        assert_eq!(evicted, Some(1));
        assert!(handshakes.was_evicted(1));
        assert_eq!(handshakes.complete(1), None, "it was evicted");
        assert_eq!(handshakes.complete(number), Some(4));
    }

    #[test]
    fn waiting_handshakes_have_their_own_places_shared_by_the_same_rule() {
        let mut handshakes = full(&[MANY, MANY]);
        for number in [0, 1] {
            assert_eq!(handshakes.begin_wait(number).unwrap(), None);
        }
        for stream in [2, 3] {
            handshakes.begin(IpAddr::from(MANY).into(), stream).unwrap();
        }
        handshakes.begin(IpAddr::from(MANY).into(), 4).unwrap_err();
        // A handshake that cannot wait keeps its place.
        handshakes.begin_wait(2).unwrap_err();
        assert_eq!(handshakes.complete(2), Some(2));
        let (other, _) = handshakes.begin(origin("::1"), 5).unwrap();
        assert_eq!(handshakes.begin_wait(other).unwrap(), Some(0));
        assert!(handshakes.was_evicted(0));
        handshakes.end_wait(other);
        assert_eq!(handshakes.begin_wait(3).unwrap(), None);
        assert_eq!(handshakes.take_all(), [5, 1, 3]);
    }

    #[test]
    fn no_address_is_evicted_for_one_that_would_then_have_as_many() {
        let other = [192, 0, 2, 2];
        for addrs in [[MANY, MANY, other], [MANY, other, [192, 0, 2, 3]]] {
            let mut handshakes = full(&addrs);
            handshakes.begin(IpAddr::from(other).into(), 3).unwrap_err();
        }
        // The evicted address would be left with fewer than the new one has.
        full(&[MANY, other]).begin(origin("::1"), 2).unwrap_err();
    }

    #[test]
    fn evicted_handshakes_that_still_run_are_no_more_than_the_limit() {
        let mut handshakes = full(&[MANY; 4]);
        handshakes.leaving.extend(100..104);
        handshakes.begin(origin("192.0.2.3"), 4).unwrap_err();
        handshakes.end(103);
        handshakes.begin(origin("192.0.2.3"), 4).unwrap();
    }

    #[test]
    fn an_origin_is_a_64_of_ipv6_or_an_ipv4_address_mapped_or_not() {
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:0:0:1"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
        assert_ne!(origin("::ffff:192.0.2.1"), origin("::ffff:192.0.2.2"));
    }
}
