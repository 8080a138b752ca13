//! A network between two processes, with its faults: long, slow, cut, silent,
//! held up, or in single bytes.
//!
//! A slow link, as that of a modem, is [`Profile::slow`]: a rate, a bounded queue
//! in front of it, and small kernel buffers on the relay's own sockets. When the
//! queue is full, the relay stops reading, and TCP slows the sender down. The
//! rest of what is under way waits in the sender's own kernel, as it does on a
//! real link. [`FaultProxy::hold`] and [`FaultProxy::release`] make it stall,
//! [`FaultProxy::cut`] breaks it at once or after so many bytes. A half-close is
//! passed on as a half-close, after what was sent before it.
//!
//! Time is modelled, not slept away: each piece has a moment at which it is
//! due, and the thread that delivers it waits on a condition for that moment
//! or for the link's end. That wait is what the link is there for.

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

/// What one read takes at most, and so what becomes due at once.
const READ: usize = 64 * 1024;

/// Where there is a rate, one read takes no more than what the link carries in
/// this part of a second: the link is to flow, not to jump.
const READS_PER_SECOND: u32 = 50;

/// The kernel buffers of a slow link's sockets.
const NARROW: usize = 4 * 1024;

/// The segments of an Ethernet. Those of the loopback interface have 64 KiB,
/// with which a small window stalls.
#[cfg(unix)]
const SEGMENT: u32 = 1448;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From whoever has connected to the relay's target.
    Up,
    /// Back.
    Down,
}

/// How a connection breaks. Both of its ends meet the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As if the other end had ended it in order.
    Fin,
    /// As if the other end knew nothing of it any more.
    Rst,
    /// Nothing passes any more, and nobody is told: a NAT box has forgotten it.
    Silence,
}

/// Where a connection breaks: when so many bytes have passed in that direction.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub direction: Direction,
    pub after: u64,
    pub how: How,
}

/// What a link is like, in each direction.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// From one end to the other.
    pub delay: Duration,
    /// Bytes per second.
    pub rate: Option<u32>,
    /// Bytes per second upwards, where that differs.
    pub rate_up: Option<u32>,
    /// Bytes on the way and waiting for it; more are not taken in.
    pub buffer: usize,
    /// Kernel buffers of the relay's sockets; `None` leaves them to the kernel,
    /// which then takes in megabytes ahead of the link.
    pub kernel: Option<usize>,
    /// As much as is delivered at once.
    pub piece: usize,
    /// Where each connection breaks.
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
    /// A link that carries so many bytes per second in each direction, with a
    /// queue of so many in front of it.
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

    /// A socket whose buffers are set. The kernel wants to know of small ones
    /// before it connects or listens: told later, it goes on with a window that
    /// it cannot fill, and stalls.
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

/// Carries connections to its target. Those that are silent when it is dropped
/// are reset; the others go on.
pub struct FaultProxy {
    /// Where to connect to.
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
                // Under the lock from before it is connected: whoever has either
                // end may break the link.
                let mut links = noting.lock();
                // Who finds nobody at the target is left alone.
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

    /// Breaks the connections that there are, when so many bytes more have
    /// passed.
    pub fn cut(&self, cut: Cut) {
        self.each(|state| {
            let way = &mut state.ways[cut.direction as usize];
            way.cut = Some((way.passed + cut.after, cut.how));
        });
    }

    /// The connections that there are carry nothing any more, and nobody is
    /// told.
    pub fn silence(&self) {
        self.each(|state| state.end = Some(How::Silence));
    }

    /// The connections that there are carry nothing in this direction.
    pub fn hold(&self, direction: Direction) {
        self.each(|state| state.ways[direction as usize].on_hold = true);
    }

    /// They do again.
    pub fn release(&self, direction: Direction) {
        self.each(|state| state.ways[direction as usize].on_hold = false);
    }

    /// The connections that there are carry so many bytes per second from now on,
    /// in each direction; `None` is as many as can be.
    pub fn set_rate(&self, rate: Option<u32>) {
        self.each(|state| state.rates = [rate; 2]);
    }

    /// Bytes that the latest connection has carried in this direction.
    pub fn passed(&self, direction: Direction) -> u64 {
        let links = self.links.lock();
        let latest = links.last().expect("somebody has connected");
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
        // Wakes who accepts.
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
    /// Bytes per second, where there is a limit.
    rates: [Option<u32>; 2],
    /// It was broken.
    end: Option<How>,
}

/// One direction.
struct Way {
    pieces: VecDeque<Piece>,
    /// Bytes in `pieces`.
    held: usize,
    /// When the sending end has put what it has taken in on its way.
    idle_at: Instant,
    /// The sending end has said all.
    finished: bool,
    on_hold: bool,
    passed: u64,
    /// Breaks the connection when so many have passed.
    cut: Option<(u64, How)>,
}

struct Piece {
    due: Instant,
    bytes: Vec<u8>,
    /// Bytes of it that have left.
    start: usize,
}

/// What is next in a direction.
enum Next {
    Deliver(Vec<u8>),
    /// Its end.
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

    /// Reads all that comes, and what comes after the connection was ended too:
    /// unread, it would make a reset of it.
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

    /// Waits until more may be taken in, and gives how much; `None` when nothing
    /// is any more.
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
                    // It may have ended by itself.
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Next::Over => break,
            }
        }
        // Each direction does that, for the end that it delivers to.
        let broken = self.state.lock().end;
        if broken == Some(How::Fin) {
            let _ = to.shutdown(Shutdown::Write);
        } else {
            // The last one that lets go of it has it reset; a shutdown of reading
            // only wakes who reads here.
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
    /// The next bytes: at most so many, and not beyond a cut.
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
