//! A common interface to the two crates: dial, open, and a task that drives each
//! connection.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};

use crate::child::Counter;
use crate::service;
use crate::workload::{Job, Service};

/// The client's side of a multiplexed connection of one of the crates.
pub trait Mux: Sized + Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static;

    /// Whether a task that writes stalls unless another task reads meanwhile.
    const READ_WHILE_WRITING: bool;

    fn over(socket: TcpStream, job: &Job) -> Self;
    fn open(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Runs the server's side: passes every stream to `service::serve`.
    fn serve(socket: TcpStream, job: &Job, implied: Option<Service>);
}

pub async fn dial<M: Mux>(job: &Job) -> io::Result<M> {
    let socket = TcpStream::connect(job.addr).await?;
    socket.set_nodelay(true)?;
    Ok(M::over(socket, job))
}

pub async fn listen<M: Mux>(job: Job, counter: Arc<Counter>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(job.addr).await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if socket.set_nodelay(true).is_ok() {
                M::serve(socket, &job, job.workload.implied_service());
                counter.add_one();
            }
        }
    });
    Ok(addr)
}

fn connection_gone() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

/// `tokio-yamux`. Its session is a stream of inbound streams, and its control
/// opens outbound ones.
pub struct TokioYamux(tokio_yamux::Control);

impl Mux for TokioYamux {
    type Stream = tokio_yamux::StreamHandle;
    const READ_WHILE_WRITING: bool = true;

    fn over(socket: TcpStream, _: &Job) -> Self {
        let config = tokio_yamux::Config::default();
        let mut session = tokio_yamux::Session::new_client(socket, config);
        let control = session.control();
        tokio::spawn(async move { while let Some(Ok(_)) = session.next().await {} });
        Self(control)
    }

    async fn open(&self) -> io::Result<Self::Stream> {
        let mut control = self.0.clone();
        control.open_stream().await.map_err(io::Error::other)
    }

    fn serve(socket: TcpStream, _: &Job, implied: Option<Service>) {
        let config = tokio_yamux::Config::default();
        let mut session = tokio_yamux::Session::new_server(socket, config);
        tokio::spawn(async move {
            while let Some(Ok(stream)) = session.next().await {
                tokio::spawn(service::serve(stream, implied));
            }
        });
    }
}

type Opened = oneshot::Sender<yamux::Stream>;
type YamuxConnection = yamux::Connection<Compat<TcpStream>>;

/// `yamux`, driven the way libp2p drives it: one task polls for inbound and
/// outbound streams.
pub struct Yamux(mpsc::Sender<Opened>);

impl Mux for Yamux {
    type Stream = Compat<yamux::Stream>;
    const READ_WHILE_WRITING: bool = false;

    fn over(socket: TcpStream, job: &Job) -> Self {
        let connection = connection(socket, job, yamux::Mode::Client);
        let (requests, receiver) = mpsc::channel(32);
        tokio::spawn(drive(connection, receiver, drop));
        Self(requests)
    }

    async fn open(&self) -> io::Result<Self::Stream> {
        let (opened, stream) = oneshot::channel();
        self.0.send(opened).await.map_err(|_| connection_gone())?;
        Ok(stream.await.map_err(|_| connection_gone())?.compat())
    }

    fn serve(socket: TcpStream, job: &Job, implied: Option<Service>) {
        let mut connection = connection(socket, job, yamux::Mode::Server);
        tokio::spawn(async move {
            while let Some(Ok(stream)) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {
                tokio::spawn(service::serve(stream.compat(), implied));
            }
        });
    }
}

fn connection(socket: TcpStream, job: &Job, mode: yamux::Mode) -> YamuxConnection {
    let mut config = yamux::Config::default();
    if let Some(limit) = job.stream_limit() {
        // By default, the crate allows 512 streams and one window for each.
        config.set_max_connection_receive_window(None);
        config.set_max_num_streams(limit);
    }
    yamux::Connection::new(socket.compat(), config, mode)
}

/// Drives a connection until it ends, and opens the requested streams.
async fn drive(
    mut connection: YamuxConnection,
    mut requests: mpsc::Receiver<Opened>,
    inbound: impl Fn(yamux::Stream),
) {
    let mut request = None;
    poll_fn(|cx| poll_drive(cx, &mut connection, &mut requests, &mut request, &inbound)).await;
}

fn poll_drive(
    cx: &mut Context<'_>,
    connection: &mut YamuxConnection,
    requests: &mut mpsc::Receiver<Opened>,
    request: &mut Option<Opened>,
    inbound: &impl Fn(yamux::Stream),
) -> Poll<()> {
    loop {
        match connection.poll_next_inbound(cx) {
            Poll::Ready(Some(Ok(stream))) => {
                inbound(stream);
                continue;
            }
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => {}
        }
        if request.is_none() {
            match requests.poll_recv(cx) {
                Poll::Ready(Some(opened)) => *request = Some(opened),
                // The client is dropped, but its streams may still be in use.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
        match connection.poll_new_outbound(cx) {
            Poll::Ready(Ok(stream)) => {
                if let Some(opened) = request.take() {
                    // If the request was cancelled, this drops the stream.
                    let _ = opened.send(stream);
                }
            }
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
}
