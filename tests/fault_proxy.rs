//! The slow links of the tests have the rate and the queue of their profile. Other tests
//! rely on that.

mod support;

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    time::{Duration, Instant},
};
use support::{
    fault_proxy::{Cut, Direction, FaultProxy, How, Profile},
    in_time,
    pattern::Pattern,
};

const RATE: u32 = 100_000;
const QUEUE: usize = 8 * 1024;

struct Ends {
    link: FaultProxy,
    near: TcpStream,
    far: TcpStream,
}

fn ends(profile: Profile) -> Ends {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = FaultProxy::to(listener.local_addr().unwrap(), profile).unwrap();
    let near = TcpStream::connect(link.addr).unwrap();
    let (far, _) = listener.accept().unwrap();
    Ends { link, near, far }
}

/// Sends `len` bytes, ends that direction, and checks the bytes at the other end. Returns
/// how long that took.
fn carry(mut from: &TcpStream, mut to: &TcpStream, len: usize) -> Duration {
    let pattern = Pattern::new(1);
    let began = Instant::now();
    // The kernel of the sender buffers all of it.
    from.write_all(&pattern.to_vec(len)).unwrap();
    from.shutdown(Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    to.read_to_end(&mut bytes).unwrap();
    let took = began.elapsed();
    assert_eq!(bytes.len(), len);
    pattern.check(0, &bytes);
    took
}

/// After a half-close, the other direction continues, at its own rate.
#[test]
fn each_direction_has_its_own_rate_and_end() {
    in_time(|| {
        let profile = Profile {
            rate_up: Some(2 * RATE),
            ..Profile::slow(RATE, QUEUE)
        };
        let ends = ends(profile);
        let up = carry(&ends.near, &ends.far, 40_000);
        let down = carry(&ends.far, &ends.near, 40_000);
        let [fast, slow] = [200, 400].map(Duration::from_millis);
        assert!(up > fast * 9 / 10, "{up:?}");
        assert!(down > slow * 9 / 10, "{down:?}");
        // If small windows stalled, it would take much longer.
        assert!(up < fast * 3 && down < slow * 3, "{up:?}, {down:?}");
    });
}

#[test]
fn a_stalled_link_buffers_no_more_than_its_queue() {
    in_time(|| {
        // The ends buffer little themselves.
        let Ends { link, near, far } = ends(Profile::slow(10_000_000, QUEUE));
        link.hold(Direction::Down);
        socket2::SockRef::from(&far)
            .set_send_buffer_size(4096)
            .unwrap();
        far.set_write_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let mut taken = 0;
        let error = loop {
            match (&far).write(&[7; 1000]) {
                Ok(count) => taken += count,
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{error}"
        );
        assert!((QUEUE..QUEUE + 40_000).contains(&taken), "{taken}");
        link.release(Direction::Down);
        far.shutdown(Shutdown::Write).unwrap();
        let came = io::copy(&mut &near, &mut io::sink()).unwrap();
        assert_eq!(came, taken as u64);
    });
}

#[test]
fn an_immediate_cut_ends_a_full_link() {
    in_time(|| {
        for (how, expected) in [(How::Fin, Ok(())), (How::Rst, Err(()))] {
            let Ends { link, near, far } = ends(Profile::slow(1000, QUEUE));
            (&far).write_all(&[7; 20_000]).unwrap();
            let mut first = [0];
            (&near).read_exact(&mut first).unwrap();
            link.cut(Cut {
                direction: Direction::Down,
                after: 0,
                how,
            });
            let ended = io::copy(&mut &near, &mut io::sink());
            assert_eq!(ended.map(drop).map_err(drop), expected, "{how:?}");
        }
    });
}
