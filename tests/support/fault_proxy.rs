//! A TCP proxy that injects the faults of a network: long, slow, cut, silent and
//! stalled links, and delivery in single bytes.
//!
//! [`Profile::slow`] is a slow link, such as that of a modem: a rate, a bounded queue
//! in front of it, and small kernel buffers on the proxy's own sockets. When the
//! queue is full, the proxy stops reading, and TCP slows down the sender. The rest of
//! the data waits in the sender's kernel, as it does on a real link.
//!
//! [`FaultProxy::hold`] stalls a link, [`FaultProxy::release`] ends the stall, and
//! [`FaultProxy::cut`] breaks it, at once or after some bytes. A half-close is forwarded
//! as a half-close, after the data before it.
//!
//! The proxy does not sleep. Each piece of data has a time at which it is due, and the
//! thread that delivers it waits on a condition variable for that time, or for the end
//! of the link.

use parking_lot::{Condvar, Mutex};
use socket2::{Domain, SockRef, Socket, Type};
use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// The most bytes of one read, and so the most that become due at once.
const READ: usize = 64 * 1024;

/// With a rate, one read takes no more than the link carries in this part of a second,
/// so that data flows smoothly.
const READS_PER_SECOND: u32 = 50;

/// The kernel buffers of a slow link's sockets.
const NARROW: usize = 4 * 1024;

/// The segment size of an Ethernet. On the loopback interface segments have 64 KiB,
/// with which a small window stalls.
#[cfg(unix)]
const SEGMENT: u32 = 1448;

/// The direction of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client that connected to the proxy to the target.
    Up,
    /// From the target to the client.
    Down,
}

/// How a connection breaks. Both of its ends see the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As if the other end had closed it.
    Fin,
    /// As if the other end did not know the connection.
    Rst,
    /// Nothing passes any longer, and neither end is notified, as when a NAT has lost
    /// its state.
    Silence,
}

/// Where a connection breaks: after `after` bytes in that direction.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub direction: Direction,
    pub after: u64,
    pub how: How,
}

/// The properties of a link, for each direction.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The time from one end to the other.
    pub delay: Duration,
    /// Bytes per second, if limited.
    pub rate: Option<u32>,
    /// Bytes per second upwards, if different.
    pub rate_up: Option<u32>,
    /// The most bytes that are on the way or wait for it.
    pub buffer: usize,
    /// The size of the kernel buffers of the proxy's sockets. `None` leaves it to the
    /// kernel, which then buffers megabytes in front of the link.
    pub kernel: Option<usize>,
    /// The most bytes that are delivered at once.
    pub piece: usize,
    /// Where each connection breaks, if it does.
    pub cut: Option<Cut>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            rate: None,
            rate_up: None,
            buffer: 2 * READ,
            kernel: None,
            piece: READ,
            cut: None,
        }
    }
}

impl Profile {
    /// A link that carries `rate` bytes per second in each direction, with a queue of
    /// `queue` bytes in front of it.
    pub fn slow(rate: u32, queue: usize) -> Self {
        Self {
            rate: Some(rate),
            buffer: queue,
            kernel: Some(NARROW),
            ..Self::default()
        }
    }

    fn rate(&self, direction: Direction) -> Option<u32> {
        match direction {
            Direction::Up => self.rate_up.or(self.rate),
            Direction::Down => self.rate,
        }
    }

    /// A socket whose buffers are set. Small buffers must be set before it connects or
    /// listens: otherwise the kernel keeps a window that it cannot fill, and stalls.
    fn socket(&self, addr: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        if let Some(bytes) = self.kernel {
            socket.set_send_buffer_size(bytes)?;
            socket.set_recv_buffer_size(bytes)?;
            #[cfg(unix)]
            socket.set_tcp_mss(SEGMENT)?;
        }
        Ok(socket)
    }

    fn listen(&self) -> io::Result<TcpListener> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = self.socket(any)?;
        socket.bind(&any.into())?;
        socket.listen(128)?;
        Ok(socket.into())
    }

    fn connect(&self, target: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.socket(target)?;
        socket.connect(&target.into())?;
        Ok(socket.into())
    }
}

/// A proxy for a target. When it is dropped, silent connections are reset; the others
/// stay open.
pub struct FaultProxy {
    /// The address that clients connect to.
    pub addr: SocketAddr,
    listener: Arc<TcpListener>,
    links: Arc<Mutex<Vec<Arc<Link>>>>,
}

impl FaultProxy {
    pub fn to(target: SocketAddr, profile: Profile) -> io::Result<Self> {
        let listener = Arc::new(profile.listen()?);
        let addr = listener.local_addr()?;
        let links = Arc::<Mutex<Vec<_>>>::default();
        let (accepting, noting) = (Arc::clone(&listener), Arc::clone(&links));
        thread::spawn(move || {
            while let Ok((near, _)) = accepting.accept() {
                // Locked before it connects, as the test may break the link as soon as
                // it has either end.
                let mut links = noting.lock();
                // If the target cannot be reached, the client's connection is closed.
                if let Ok(far) = profile.connect(target) {
                    links.extend(Link::start(near, far, profile));
                }
            }
        });
        Ok(Self {
            addr,
            listener,
            links,
        })
    }

    /// Breaks the present connections, after `cut.after` more bytes.
    pub fn cut(&self, cut: Cut) {
        self.each(|state| {
            let way = &mut state.ways[cut.direction as usize];
            way.cut = Some((way.passed + cut.after, cut.how));
        });
    }

    /// Makes the present connections silent.
    pub fn silence(&self) {
        self.each(|state| state.end = Some(How::Silence));
    }

    /// Stalls the present connections in this direction.
    pub fn hold(&self, direction: Direction) {
        self.each(|state| state.ways[direction as usize].on_hold = true);
    }

    /// Ends a stall.
    pub fn release(&self, direction: Direction) {
        self.each(|state| state.ways[direction as usize].on_hold = false);
    }

    /// Sets the rate of the present connections in both directions. `None` is
    /// unlimited.
    pub fn set_rate(&self, rate: Option<u32>) {
        self.each(|state| state.rates = [rate; 2]);
    }

    /// The bytes that the latest connection has carried in this direction.
    pub fn passed(&self, direction: Direction) -> u64 {
        let links = self.links.lock();
        let latest = links.last().expect("a connection");
        latest.state.lock().ways[direction as usize].passed
    }

    fn each(&self, act: impl Fn(&mut State)) {
        for link in self.links.lock().iter() {
            act(&mut link.state.lock());
            link.changed.notify_all();
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // Wakes the accepting thread.
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        self.each(|state| {
            if state.end == Some(How::Silence) {
                state.end = Some(How::Rst);
            }
        });
    }
}

/// One connection.
struct Link {
    profile: Profile,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    ways: [Way; 2],
    /// Bytes per second, if limited.
    rates: [Option<u32>; 2],
    /// How it was broken.
    end: Option<How>,
}

/// One direction.
struct Way {
    pieces: VecDeque<Piece>,
    /// Bytes in `pieces`.
    held: usize,
    /// When all of `pieces` are on their way.
    idle_at: Instant,
    /// The sending end has closed its direction.
    finished: bool,
    on_hold: bool,
    passed: u64,
    /// Breaks the connection after this many bytes.
    cut: Option<(u64, How)>,
}

struct Piece {
    due: Instant,
    bytes: Vec<u8>,
    /// The number of its bytes that were delivered.
    start: usize,
}

/// What to do next in a direction.
enum Next {
    Deliver(Vec<u8>),
    /// Forward the end.
    Finish,
    /// The connection is broken.
    Over,
}

impl Link {
    fn start(near: TcpStream, far: TcpStream, profile: Profile) -> io::Result<Arc<Self>> {
        let way = |direction| Way {
            pieces: VecDeque::new(),
            held: 0,
            idle_at: Instant::now(),
            finished: false,
            on_hold: false,
            passed: 0,
            cut: profile
                .cut
                .filter(|cut| cut.direction == direction)
                .map(|cut| (cut.after, cut.how)),
        };
        let link = Arc::new(Self {
            profile,
            state: Mutex::new(State {
                ways: [way(Direction::Up), way(Direction::Down)],
                rates: [Direction::Up, Direction::Down].map(|way| profile.rate(way)),
                end: None,
            }),
            changed: Condvar::new(),
        });
        let ends = [Arc::new(near), Arc::new(far)];
        for end in &ends {
            end.set_nodelay(true)?;
        }
        for direction in [Direction::Up, Direction::Down] {
            let [from, to] = match direction {
                Direction::Up => [&ends[0], &ends[1]].map(Arc::clone),
                Direction::Down => [&ends[1], &ends[0]].map(Arc::clone),
            };
            let taking = (Arc::clone(&link), Arc::clone(&from));
            thread::spawn(move || taking.0.take_in(direction, &taking.1));
            let delivering = Arc::clone(&link);
            thread::spawn(move || delivering.deliver(direction, &from, &to));
        }
        Ok(link)
    }

    /// Reads everything. After a break with FIN, continues to read, because unread data
    /// would cause a reset.
    fn take_in(&self, direction: Direction, mut from: &TcpStream) {
        let mut buf = vec![0; READ];
        while let Some(room) = self.wait_room(direction) {
            match from.read(&mut buf[..room]) {
                Ok(0) => {
                    self.state.lock().ways[direction as usize].finished = true;
                    self.changed.notify_all();
                    return;
                }
                Ok(count) => self.put(direction, &buf[..count]),
                Err(_) => return self.break_by(How::Rst),
            }
        }
    }

    /// Waits until more data may be read. Returns how much, or `None` at the end.
    fn wait_room(&self, direction: Direction) -> Option<usize> {
        let mut state = self.state.lock();
        loop {
            let held = state.ways[direction as usize].held;
            match state.end {
                Some(How::Fin) => return Some(READ),
                Some(How::Rst) => return None,
                None if held < self.profile.buffer => {
                    let due_at_once = state.rates[direction as usize]
                        .map_or(READ, |rate| (rate / READS_PER_SECOND) as usize);
                    return Some(due_at_once.clamp(1, READ.min(self.profile.buffer - held)));
                }
                Some(How::Silence) | None => self.changed.wait(&mut state),
            }
        }
    }

    fn put(&self, direction: Direction, bytes: &[u8]) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return;
        }
        let takes = state.rates[direction as usize].map_or(Duration::ZERO, |rate| {
            Duration::from_secs(1) * bytes.len() as u32 / rate
        });
        let way = &mut state.ways[direction as usize];
        way.idle_at = way.idle_at.max(Instant::now()) + takes;
        way.pieces.push_back(Piece {
            due: way.idle_at + self.profile.delay,
            bytes: bytes.to_vec(),
            start: 0,
        });
        way.held += bytes.len();
        drop(state);
        self.changed.notify_all();
    }

    fn deliver(&self, direction: Direction, from: &TcpStream, mut to: &TcpStream) {
        loop {
            match self.next(direction) {
                Next::Deliver(bytes) => {
                    if to.write_all(&bytes).is_err() {
                        self.break_by(How::Rst);
                        continue;
                    }
                    self.note_passed(direction, bytes.len());
                }
                Next::Finish => {
                    // The connection may have ended already.
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Next::Over => break,
            }
        }
        // Each direction breaks the end that it delivers to.
        let broken = self.state.lock().end;
        if broken == Some(How::Fin) {
            let _ = to.shutdown(Shutdown::Write);
        } else {
            // Dropping the last handle resets the connection. The shutdown only wakes the
            // reading thread.
            let _ = SockRef::from(to).set_linger(Some(Duration::ZERO));
            let _ = from.shutdown(Shutdown::Read);
        }
    }

    fn note_passed(&self, direction: Direction, count: usize) {
        let mut state = self.state.lock();
        let way = &mut state.ways[direction as usize];
        way.held -= count;
        way.passed += count as u64;
        drop(state);
        self.changed.notify_all();
    }

    fn break_by(&self, how: How) {
        self.state.lock().end.get_or_insert(how);
        self.changed.notify_all();
    }

    /// Waits until there is something to do in this direction.
    fn next(&self, direction: Direction) -> Next {
        let mut state = self.state.lock();
        loop {
            if state.end.is_none()
                && let Some((limit, how)) = state.ways[direction as usize].cut
                && state.ways[direction as usize].passed >= limit
            {
                state.end = Some(how);
                self.changed.notify_all();
            }
            match state.end {
                Some(How::Fin | How::Rst) => return Next::Over,
                Some(How::Silence) => {
                    self.changed.wait(&mut state);
                    continue;
                }
                None => {}
            }
            let way = &mut state.ways[direction as usize];
            let due = way.pieces.front().map(|piece| piece.due);
            match due {
                _ if way.on_hold => self.changed.wait(&mut state),
                Some(due) if due <= Instant::now() => {
                    return Next::Deliver(way.take(self.profile.piece));
                }
                Some(due) => {
                    self.changed.wait_until(&mut state, due);
                }
                None if way.finished => return Next::Finish,
                None => self.changed.wait(&mut state),
            }
        }
    }
}

impl Way {
    /// The next bytes: at most `most`, and not beyond a cut.
    fn take(&mut self, most: usize) -> Vec<u8> {
        let most = match self.cut {
            Some((limit, _)) => most.min(usize::try_from(limit - self.passed).unwrap_or(most)),
            None => most,
        };
        let piece = self.pieces.front_mut().expect("one is due");
        let end = piece.bytes.len().min(piece.start + most);
        let bytes = piece.bytes[piece.start..end].to_vec();
        piece.start = end;
        if end == piece.bytes.len() {
            self.pieces.pop_front();
        }
        bytes
    }
}
