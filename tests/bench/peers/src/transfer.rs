//! The sending side of a transfer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::child::{self, Source};
use crate::mux::Mux;
use crate::workload::{BLOCK, Service};

/// What to send.
pub enum Load {
    /// This many bytes, in 64 KiB writes.
    Blocks(u64),
    /// This many bytes, with `io::copy`.
    Copy(u64),
    /// 64 KiB writes until the flag is set.
    Until(Arc<AtomicBool>),
}

impl Load {
    pub fn of(service: Service, bytes: u64) -> Self {
        match service {
            Service::Copy => Self::Copy(bytes),
            _ => Self::Blocks(bytes),
        }
    }

    async fn write_to(self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<u64> {
        match self {
            Self::Blocks(bytes) => {
                let mut source = Source::new(bytes);
                while let block @ [_, ..] = source.take(BLOCK) {
                    writer.write_all(block).await?;
                }
                Ok(bytes)
            }
            Self::Copy(bytes) => {
                let mut source = AsyncSource(Source::new(bytes));
                tokio::io::copy(&mut source, writer).await
            }
            Self::Until(stop) => {
                let mut bytes = 0;
                while !stop.load(Ordering::Relaxed) {
                    writer.write_all(child::block()).await?;
                    bytes += BLOCK as u64;
                }
                Ok(bytes)
            }
        }
    }
}

/// Writes the load, ends the sending direction, and waits until the receiver
/// confirms the count.
pub async fn transfer<M: Mux>(mut stream: M::Stream, load: Load) -> io::Result<u64> {
    let (bytes, confirmed) = if M::READ_WHILE_WRITING {
        let (reader, mut writer) = tokio::io::split(stream);
        let answer = tokio::spawn(confirmation(reader));
        let bytes = load.write_to(&mut writer).await?;
        writer.shutdown().await?;
        (bytes, answer.await.map_err(io::Error::other)??)
    } else {
        let bytes = load.write_to(&mut stream).await?;
        stream.shutdown().await?;
        (bytes, confirmation(stream).await?)
    };
    child::expect_count(bytes, confirmed)?;
    Ok(bytes)
}

async fn confirmation(mut reader: impl AsyncRead + Unpin) -> io::Result<[u8; 8]> {
    let mut confirmed = [0; 8];
    reader.read_exact(&mut confirmed).await?;
    Ok(confirmed)
}

struct AsyncSource(Source);

impl AsyncRead for AsyncSource {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        buf.put_slice(self.0.take(room));
        Poll::Ready(Ok(()))
    }
}
