//! The services that the servers run on their streams.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::child::Tally;
use crate::workload::{BLOCK, MESSAGE, Service};

pub async fn serve<S>(mut stream: S, implied: Option<Service>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(service) = requested_service(&mut stream, implied).await else {
        return;
    };
    let ended = match service {
        Service::Sink => sink(&mut stream).await,
        Service::Copy => copy(&mut stream).await,
        Service::Echo => echo(&mut stream, usize::MAX).await,
        Service::Once => echo(&mut stream, 1).await,
        Service::Hold => hold(&mut stream).await,
    };
    // Report only wrong bytes: the client notices a missing answer itself, and it
    // may already be gone.
    if let Err(error) = ended
        && error.kind() == io::ErrorKind::InvalidData
    {
        eprintln!("{}: {error}", service.name());
    }
    let _ = stream.shutdown().await;
}

async fn requested_service<S>(stream: &mut S, implied: Option<Service>) -> io::Result<Service>
where
    S: AsyncRead + Unpin,
{
    if let Some(service) = implied {
        return Ok(service);
    }
    let byte = stream.read_u8().await?;
    Service::from_byte(byte).ok_or_else(|| io::Error::other("unknown service"))
}

async fn sink<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut tally = Tally::default();
    let mut buffer = vec![0; BLOCK];
    loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            break;
        }
        tally.add(&buffer[..len])?;
    }
    confirm(stream, &tally).await
}

async fn copy<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut tally = AsyncTally::default();
    tokio::io::copy(stream, &mut tally).await?;
    confirm(stream, &tally.0).await
}

async fn confirm<S: AsyncWrite + Unpin>(stream: &mut S, tally: &Tally) -> io::Result<()> {
    stream.write_all(&tally.count.to_le_bytes()).await?;
    stream.flush().await
}

async fn echo<S>(stream: &mut S, times: usize) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut message = [0; MESSAGE];
    for _ in 0..times {
        match stream.read_exact(&mut message).await {
            Ok(_) => stream.write_all(&message).await?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        stream.flush().await?;
    }
    Ok(())
}

async fn hold<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    echo(stream, 1).await?;
    // Idle until the stream ends.
    stream.read_u8().await.map_or(Ok(()), |_| Ok(()))
}

#[derive(Default)]
struct AsyncTally(Tally);

impl AsyncWrite for AsyncTally {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.add(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
