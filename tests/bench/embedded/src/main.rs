//! A client for small devices: sends a file on each stream `backup` that its
//! server opens, and reconnects until it is killed.
//!
//! Usage: `wirenet-embedded HOST:PORT FILE [CA]`. Uses TLS if the CA's file is
//! given.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::File;
use std::time::Duration;
use std::{env, io};

use wirenet::{Builder, Stream, Wire};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (addr, file, ca) = match &args[..] {
        [addr, file] => (addr, file.clone(), None),
        [addr, file, ca] => (addr, file.clone(), Some(ca)),
        _ => return Err("usage: wirenet-embedded HOST:PORT FILE [CA]".into()),
    };
    let builder = Wire::join(addr)
        .identification("box-1", "secret")
        .retry_wait(Duration::from_secs(1), Duration::from_secs(60))
        .on_error(|error| eprintln!("{error}"))
        .stream("backup", move |stream| send(&file, stream));
    let builder = match ca {
        Some(ca) => with_tls(builder, ca)?,
        None => builder,
    };
    Ok(builder.build()?.connect()?)
}

fn send(file: &str, stream: &mut Stream) -> io::Result<()> {
    io::copy(&mut File::open(file)?, stream)?;
    stream.finish()
}

#[cfg(feature = "tls")]
fn with_tls(builder: Builder, ca: &str) -> Result<Builder, Box<dyn Error>> {
    Ok(builder.tls(wirenet::TlsClient::with_ca(ca)?))
}

#[cfg(not(feature = "tls"))]
fn with_tls(_: Builder, _: &str) -> Result<Builder, Box<dyn Error>> {
    Err("built without TLS: omit the CA, or enable the feature `tls`".into())
}
