//! A libp2p peer. libp2p's `Connection` makes progress only while it is polled: a
//! task polls it, and takes requests to open streams and to close.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use futures::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, ConnectionError, Mode, Stream};

use crate::pattern::{assert_pattern, pattern};

enum Request {
    Open(oneshot::Sender<Result<Stream, ConnectionError>>),
    Close,
}

/// A connection of libp2p's yamux.
pub struct Peer {
    requests: mpsc::UnboundedSender<Request>,
    inbound: mpsc::UnboundedReceiver<Stream>,
    driver: tokio::task::JoinHandle<Result<(), ConnectionError>>,
}

impl Peer {
    /// Creates a peer on a connected socket.
    pub fn new(socket: TcpStream, mode: Mode) -> Peer {
        let (requests, request_receiver) = mpsc::unbounded_channel();
        let (inbound_sender, inbound) = mpsc::unbounded_channel();
        let driver = Driver {
            connection: Connection::new(socket.compat(), Config::default(), mode),
            requests: request_receiver,
            opening: None,
            closing: false,
            inbound: inbound_sender,
        };
        let driver = tokio::spawn(driver.run());
        Peer {
            requests,
            inbound,
            driver,
        }
    }

    /// Opens a stream. libp2p sends the SYN with the first write, even an empty one.
    pub async fn open(&self) -> Stream {
        let (answer, opened) = oneshot::channel();
        self.requests
            .send(Request::Open(answer))
            .expect("the driver is gone");
        opened
            .await
            .expect("the driver is gone")
            .expect("libp2p opens")
    }

    /// Returns the next stream that wirenet opens, or `None` once the connection has
    /// ended.
    pub async fn accept(&mut self) -> Option<Stream> {
        self.inbound.recv().await
    }

    /// Closes the connection the way libp2p does.
    pub async fn close(self) -> Result<(), ConnectionError> {
        self.requests
            .send(Request::Close)
            .expect("the driver is gone");
        self.driver.await.expect("the driver panicked")
    }

    /// Echoes the data of every stream until wirenet closes the connection.
    pub async fn echo_until_closed(mut self) {
        while let Some(stream) = self.accept().await {
            tokio::spawn(async move { send_back(stream).await.expect("an echo") });
        }
        self.expect_close().await;
    }

    /// Waits until wirenet closes the connection, and asserts that libp2p regards
    /// that as graceful.
    pub async fn expect_close(self) {
        let end = self.driver.await.expect("the driver panicked");
        end.expect("a graceful close");
    }
}

struct Driver {
    connection: Connection<Compat<TcpStream>>,
    requests: mpsc::UnboundedReceiver<Request>,
    opening: Option<oneshot::Sender<Result<Stream, ConnectionError>>>,
    closing: bool,
    inbound: mpsc::UnboundedSender<Stream>,
}

impl Driver {
    async fn run(mut self) -> Result<(), ConnectionError> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        loop {
            if self.closing {
                return self.connection.poll_close(cx);
            }
            if self.poll_requests(cx) || self.poll_opening(cx) {
                continue;
            }
            match self.connection.poll_next_inbound(cx) {
                // If the test accepts no more streams, this drops the stream.
                Poll::Ready(Some(Ok(stream))) => _ = self.inbound.send(stream),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Takes one request. Returns whether there was one.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> bool {
        if self.opening.is_some() {
            return false;
        }
        match self.requests.poll_recv(cx) {
            Poll::Ready(Some(Request::Open(answer))) => self.opening = Some(answer),
            Poll::Ready(Some(Request::Close)) => self.closing = true,
            Poll::Ready(None) | Poll::Pending => return false,
        }
        true
    }

    /// Continues to open the requested stream. Returns whether that is done.
    fn poll_opening(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(answer) = self.opening.take() else {
            return false;
        };
        match self.connection.poll_new_outbound(cx) {
            Poll::Ready(opened) => _ = answer.send(opened),
            Poll::Pending => {
                self.opening = Some(answer);
                return false;
            }
        }
        true
    }
}

/// Sends a stream's data back, and closes the stream.
pub async fn send_back(stream: Stream) -> io::Result<()> {
    let (read, mut write) = stream.split();
    futures::io::copy(read, &mut write).await?;
    write.close().await
}

/// Writes a pattern, and half-closes the stream while it still reads. Expects the
/// same pattern back, and then the end.
pub async fn echo(stream: Stream, seed: u64, size: usize) {
    let (mut read, mut write) = stream.split();
    let data = pattern(seed, size);
    let send = async {
        // An empty write makes libp2p send the SYN, even if there is no data.
        let opened = write.write(&[]).await.expect("the open");
        assert_eq!(opened, 0);
        write.write_all(&data).await.expect("a write");
        write.close().await.expect("a half-close");
    };
    let mut got = vec![0; size];
    let receive = async {
        read.read_exact(&mut got).await.expect("a read");
        assert_eq!(read.read(&mut [0]).await.expect("a read"), 0, "the end");
    };
    futures::join!(send, receive);
    assert_pattern(&got, seed, size);
}

/// Writes a pattern, reads it back, and only then closes the stream. Otherwise
/// libp2p would no longer count the stream as unacknowledged: it stops counting
/// streams that it has closed for writing.
pub async fn echo_before_close(mut stream: Stream, seed: u64, size: usize) {
    stream
        .write_all(&pattern(seed, size))
        .await
        .expect("a write");
    let mut got = vec![0; size];
    stream.read_exact(&mut got).await.expect("a read");
    assert_pattern(&got, seed, size);
    stream.close().await.expect("a close");
}
