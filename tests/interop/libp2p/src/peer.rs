//! libp2p's side. Its `Connection` does everything inside a poll function that
//! somebody has to call all the time; here a task does, and takes orders.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use futures::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, ConnectionError, Mode, Stream};

use crate::pattern::{assert_pattern, pattern};

enum Order {
    Open(oneshot::Sender<Result<Stream, ConnectionError>>),
    Close,
}

/// A connection of libp2p's yamux.
pub struct Peer {
    orders: mpsc::UnboundedSender<Order>,
    inbound: mpsc::UnboundedReceiver<Stream>,
    driver: tokio::task::JoinHandle<Result<(), ConnectionError>>,
}

impl Peer {
    /// Takes the role that goes with who dialled.
    pub fn new(socket: TcpStream, mode: Mode) -> Peer {
        let (orders, orders_in) = mpsc::unbounded_channel();
        let (inbound_out, inbound) = mpsc::unbounded_channel();
        let driver = Driver {
            connection: Connection::new(socket.compat(), Config::default(), mode),
            orders: orders_in,
            opening: None,
            closing: false,
            inbound: inbound_out,
        };
        let driver = tokio::spawn(driver.run());
        Peer {
            orders,
            inbound,
            driver,
        }
    }

    /// Opens a stream. Its SYN leaves with the first write, an empty one too.
    pub async fn open(&self) -> Stream {
        let (answer, opened) = oneshot::channel();
        self.orders
            .send(Order::Open(answer))
            .expect("the driver is gone");
        opened
            .await
            .expect("the driver is gone")
            .expect("libp2p opens")
    }

    /// The next stream that wirenet opens, or none once the connection ended.
    pub async fn accept(&mut self) -> Option<Stream> {
        self.inbound.recv().await
    }

    /// Closes the connection, as far as libp2p does.
    pub async fn close(self) -> Result<(), ConnectionError> {
        self.orders.send(Order::Close).expect("the driver is gone");
        self.driver.await.expect("the driver panicked")
    }

    /// Sends back what comes on every stream, until wirenet closes.
    pub async fn echo_until_closed(mut self) {
        while let Some(stream) = self.accept().await {
            tokio::spawn(async move { send_back(stream).await.expect("an echo") });
        }
        self.closed().await;
    }

    /// Waits for wirenet to close the connection in good order.
    pub async fn closed(self) {
        let end = self.driver.await.expect("the driver panicked");
        end.expect("a close that libp2p takes for one");
    }
}

struct Driver {
    connection: Connection<Compat<TcpStream>>,
    orders: mpsc::UnboundedReceiver<Order>,
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
            if self.poll_orders(cx) || self.poll_opening(cx) {
                continue;
            }
            match self.connection.poll_next_inbound(cx) {
                // Where the test wants no more streams, this one is dropped.
                Poll::Ready(Some(Ok(stream))) => _ = self.inbound.send(stream),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Takes one order; whether there was one.
    fn poll_orders(&mut self, cx: &mut Context<'_>) -> bool {
        if self.opening.is_some() {
            return false;
        }
        match self.orders.poll_recv(cx) {
            Poll::Ready(Some(Order::Open(answer))) => self.opening = Some(answer),
            Poll::Ready(Some(Order::Close)) => self.closing = true,
            Poll::Ready(None) | Poll::Pending => return false,
        }
        true
    }

    /// Goes on with an open; whether it is done.
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

/// Copies a stream into itself and closes it.
pub async fn send_back(stream: Stream) -> io::Result<()> {
    let (read, mut write) = stream.split();
    futures::io::copy(read, &mut write).await?;
    write.close().await
}

/// Writes a pattern, closes its half while it still reads, and expects the
/// pattern back and then the end.
pub async fn echo(stream: Stream, seed: u64, size: usize) {
    let (mut read, mut write) = stream.split();
    let data = pattern(seed, size);
    let send = async {
        // An empty write is what makes libp2p send the SYN of an empty stream.
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

/// Reads back what it writes before it closes: libp2p counts a stream that it
/// has closed for writing no longer among those that wait to be acknowledged.
pub async fn ask(mut stream: Stream, seed: u64, size: usize) {
    stream
        .write_all(&pattern(seed, size))
        .await
        .expect("a write");
    let mut got = vec![0; size];
    stream.read_exact(&mut got).await.expect("a read");
    assert_pattern(&got, seed, size);
    stream.close().await.expect("a close");
}
