//! Libraries that own their connection, over a stream through a hub.

use crate::{
    impatient,
    support::{
        PATIENCE,
        wires::{errors, joining, started},
    },
};
use crossbeam_channel::unbounded;
use std::{
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};
use wirenet::{ByteStream, Stream, Wire};

/// A hub, and two clients of it.
struct Hub {
    caller: Wire,
    _owner: Wire,
    _hub: Wire,
}

impl Hub {
    /// `serve` handles the streams named `service`.
    fn serving(serve: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let hub = started(Wire::hub("127.0.0.1:0"));
        let owner = started(joining(&hub).stream("service", serve));
        owner.wait_session(PATIENCE).unwrap();
        let caller = started(joining(&hub));
        Self {
            caller,
            _owner: owner,
            _hub: hub,
        }
    }

    fn open(&self) -> ByteStream {
        let session = self.caller.wait_session(PATIENCE).unwrap();
        impatient(session.open_stream("service").unwrap()).into_byte_stream()
    }
}

#[test]
fn websocket_with_tungstenite() {
    let hub = Hub::serving(|stream| {
        let bytes = stream.clone().into_byte_stream();
        let mut socket = tungstenite::accept(bytes).map_err(io::Error::other)?;
        while let Ok(message) = socket.read() {
            if message.is_text() {
                socket.send(message).map_err(io::Error::other)?;
            }
        }
        Ok(())
    });
    let (mut socket, _) = tungstenite::client("ws://service/", hub.open()).unwrap();
    let long = "x".repeat(300_000);
    for text in ["hello", "", &long] {
        socket.send(text.into()).unwrap();
        assert_eq!(socket.read().unwrap().to_text().unwrap(), text);
    }
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
}

#[cfg(feature = "tls")]
mod tls {
    use super::{Hub, unbounded};
    use std::{
        io::{self, BufRead, BufReader, Read, Write},
        sync::Arc,
    };
    use wirenet::{
        ByteStream,
        tls::rustls::{
            ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
            StreamOwned,
            crypto::ring,
            pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        },
    };

    fn server() -> Arc<ServerConfig> {
        let chain = CertificateDer::pem_file_iter("certs/server.pem").unwrap();
        let key = PrivateKeyDer::from_pem_file("certs/server.key").unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        Arc::new(config)
    }

    fn client(hub: &Hub, name: &'static str) -> StreamOwned<ClientConnection, ByteStream> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file("certs/ca.pem").unwrap())
            .unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
        StreamOwned::new(tls, hub.open())
    }

    #[test]
    fn tls_inside_a_stream_with_rustls() {
        let config = server();
        let hub = Hub::serving(move |stream| {
            let tls = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            let mut tls = StreamOwned::new(tls, stream.clone().into_byte_stream());
            let mut line = String::new();
            BufReader::new(&mut tls).read_line(&mut line)?;
            tls.write_all(line.to_uppercase().as_bytes())?;
            tls.conn.send_close_notify();
            tls.flush()
        });
        let mut tls = client(&hub, "localhost");
        tls.write_all(b"secret\n").unwrap();
        let mut answer = String::new();
        tls.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "SECRET\n");
    }

    /// The client of rustls writes its alert in one call together with other data, and does
    /// not write again.
    #[test]
    fn the_alert_of_a_client_that_refuses_the_certificate_arrives() {
        const TIMES: usize = 20;

        let config = server();
        let (sender, seen) = unbounded();
        let hub = Hub::serving(move |stream| {
            let tls = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            let mut tls = StreamOwned::new(tls, stream.clone().into_byte_stream());
            let error = tls.read(&mut [0]).unwrap_err();
            sender.send(error.to_string()).map_err(io::Error::other)
        });
        for _ in 0..TIMES {
            client(&hub, "other").write_all(b"secret").unwrap_err();
            let error = seen.recv_timeout(crate::support::PATIENCE).unwrap();
            assert!(error.contains("BadCertificate"), "{error}");
        }
    }
}

mod http {
    //! What a user of ureq writes: a connector that opens streams.

    use std::{
        io::{self, Read, Write},
        time::Duration,
    };
    use ureq::{
        Error,
        unversioned::transport::{
            Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
        },
    };
    use wirenet::{ByteStream, Session};

    /// Opens a stream with the name of the host.
    #[derive(Debug)]
    pub struct Streams(pub Session);

    impl Connector for Streams {
        type Out = Connection;

        fn connect(
            &self,
            details: &ConnectionDetails,
            _: Option<()>,
        ) -> Result<Option<Connection>, Error> {
            let name = details.uri.host().unwrap_or_default();
            let stream = self.0.open_stream(name).map_err(io::Error::from)?;
            Ok(Some(Connection {
                bytes: stream.into_byte_stream(),
                buffers: LazyBuffers::new(
                    details.config.input_buffer_size(),
                    details.config.output_buffer_size(),
                ),
            }))
        }
    }

    #[derive(Debug)]
    pub struct Connection {
        bytes: ByteStream,
        buffers: LazyBuffers,
    }

    impl Transport for Connection {
        fn buffers(&mut self) -> &mut dyn Buffers {
            &mut self.buffers
        }

        fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
            self.bytes.set_write_timeout(limit(timeout))?;
            Ok(self.bytes.write_all(&self.buffers.output()[..amount])?)
        }

        fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
            self.bytes.set_read_timeout(limit(timeout))?;
            let count = self.bytes.read(self.buffers.input_append_buf())?;
            self.buffers.input_appended(count);
            Ok(count > 0)
        }

        fn is_open(&mut self) -> bool {
            !self.bytes.is_readable()
        }
    }

    fn limit(timeout: NextTimeout) -> Option<Duration> {
        timeout.not_zero().map(|timeout| *timeout)
    }
}

/// Answers the requests of a connection. Returns how many there were, or how it ended.
#[cfg(unix)]
fn serve_http(tcp: &TcpStream) -> io::Result<usize> {
    let mut requests = 0;
    let mut lines = BufReader::new(tcp).lines();
    while let Some(line) = lines.next().transpose()? {
        if line.is_empty() {
            requests += 1;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
            (&mut { tcp }).write_all(answer)?;
        }
    }
    Ok(requests)
}

#[cfg(unix)]
#[test]
fn http_with_ureq_whose_idle_connection_is_dropped() {
    use ureq::{Agent, unversioned::resolver::DefaultResolver};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (sender, served) = unbounded();
    thread::spawn(move || {
        for tcp in listener.incoming() {
            sender.send(serve_http(&tcp.unwrap())).unwrap();
        }
    });
    let (on_error, told) = errors();
    let (ended, pipes) = unbounded();
    let hub = started(Wire::hub("127.0.0.1:0"));
    let owner = joining(&hub)
        .on_error(on_error)
        .stream("127.0.0.1", move |stream| {
            let piped = stream.pipe_with(TcpStream::connect(addr)?)?;
            ended.send(piped).map_err(io::Error::other)
        });
    let owner = started(owner);
    owner.wait_session(PATIENCE).unwrap();
    let caller = started(joining(&hub));
    let session = caller.wait_session(PATIENCE).unwrap();

    let agent = Agent::with_parts(
        Default::default(),
        http::Streams(session),
        DefaultResolver::default(),
    );
    for _ in 0..3 {
        let mut answer = agent.get("http://127.0.0.1/").call().unwrap();
        assert_eq!(answer.body_mut().read_to_string().unwrap(), "hello");
    }
    drop(agent);
    // One connection, which ended gracefully.
    assert_eq!(served.recv_timeout(PATIENCE).unwrap().unwrap(), 3);
    pipes.recv_timeout(PATIENCE).unwrap();
    owner.close().unwrap();
    assert!(told.try_recv().is_err());
    assert_eq!(owner.stats().streams_reset, 0);
}

/// A library may require all of this.
#[test]
fn a_byte_stream_is_what_libraries_require() {
    fn check<T: io::Read + io::Write + Send + Sync + std::fmt::Debug + Unpin + 'static>() {}
    check::<ByteStream>();
    fn check_ref<T>()
    where
        for<'a> &'a T: io::Read + io::Write,
    {
    }
    check_ref::<ByteStream>();
}
