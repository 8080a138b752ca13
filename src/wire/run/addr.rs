//! Addresses as given to the builder: `host:port`, `:port`, IPv6 in brackets.

use crate::error::Error;
use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
};

/// An address whose name has not been looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addr {
    given: String,
    /// `None` if only a port was given.
    host: Option<String>,
    port: u16,
}

impl Addr {
    /// Parses an address.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for the option `option`.
    pub(crate) fn parse(option: &'static str, given: String) -> Result<Self, Error> {
        match parse(&given) {
            Ok((host, port)) => {
                let host = host.map(Into::into);
                Ok(Self { given, host, port })
            }
            Err(problem) => Err(Error::Option {
                option,
                reason: format!("invalid address {given:?}: {problem}"),
            }),
        }
    }

    /// Returns the host to dial, without brackets: `localhost` if none was given.
    pub(crate) fn host(&self) -> &str {
        self.host.as_deref().unwrap_or("localhost")
    }

    pub(crate) fn has_host(&self) -> bool {
        self.host.is_some()
    }

    /// Returns every address to dial. Looks up the name, which may block for a long
    /// time.
    pub(crate) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        Ok((self.host(), self.port).to_socket_addrs()?.collect())
    }

    /// Returns the addresses to listen at; the first that works is used. Without a
    /// host, these are all interfaces, with both versions of IP if the system has both.
    pub(crate) fn listen_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        if self.host.is_some() {
            return self.resolve();
        }
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, self.port));
        let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port));
        Ok(vec![both, four])
    }
}

/// The error for a name that resolves to nothing.
pub(crate) fn no_address() -> io::Error {
    io::Error::other("the name resolves to no address")
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

fn parse(given: &str) -> Result<(Option<&str>, u16), &'static str> {
    let (host, port) = given.rsplit_once(':').ok_or("the port is missing")?;
    let port = port
        .parse()
        .map_err(|_| "the port must be a number up to 65535")?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or("the bracket is not closed")?,
        None if host.contains(':') => return Err("an IPv6 address must be in brackets"),
        None => host,
    };
    Ok(((!host.is_empty()).then_some(host), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(given: &str) -> Option<(Option<&str>, u16)> {
        parse(given).ok()
    }

    #[test]
    fn every_form_is_split_into_host_and_port() {
        assert_eq!(parts("hub.example:8989"), Some((Some("hub.example"), 8989)));
        assert_eq!(parts("10.0.0.1:0"), Some((Some("10.0.0.1"), 0)));
        assert_eq!(parts("[::1]:80"), Some((Some("::1"), 80)));
        assert_eq!(parts(":8989"), Some((None, 8989)));
    }

    #[test]
    fn an_invalid_address_is_refused_with_the_reason() {
        for (given, problem) in [
            ("hub.example", "port"),
            ("hub.example:", "port"),
            ("hub.example:65536", "65535"),
            ("hub.example:http", "number"),
            ("::1:80", "brackets"),
            ("[::1:80", "closed"),
            ("", "port"),
        ] {
            let error = Addr::parse("join", given.into()).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
            assert!(error.contains(&format!("{given:?}")), "{error}");
        }
    }

    #[test]
    fn a_port_alone_listens_on_every_interface_and_dials_localhost() {
        let addr = Addr::parse("mount", ":8989".into()).unwrap();
        let listen = addr.listen_addrs().unwrap();
        assert_eq!(listen[0].to_string(), "[::]:8989");
        assert_eq!(listen[1].to_string(), "0.0.0.0:8989");
        assert!(
            addr.resolve()
                .unwrap()
                .iter()
                .all(|addr| addr.ip().is_loopback())
        );
    }
}
