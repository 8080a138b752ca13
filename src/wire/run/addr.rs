//! Addresses as people write them: `host:port`, `:port`, IPv6 in brackets.

use crate::error::Error;
use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
};

/// An address that was not looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addr {
    given: String,
    /// `None` where only a port was given.
    host: Option<String>,
    port: u16,
}

impl Addr {
    /// # Errors
    ///
    /// [`Error::Option`] under the name of `option`.
    pub(crate) fn parse(option: &'static str, given: String) -> Result<Self, Error> {
        match parse(&given) {
            Ok((host, port)) => {
                let host = host.map(Into::into);
                Ok(Self { given, host, port })
            }
            Err(problem) => Err(Error::Option {
                option,
                reason: format!("{given:?} is no address: {problem}"),
            }),
        }
    }

    /// The host to dial, without brackets: the own machine, where none was
    /// given.
    pub(crate) fn host(&self) -> &str {
        self.host.as_deref().unwrap_or("localhost")
    }

    pub(crate) fn has_host(&self) -> bool {
        self.host.is_some()
    }

    /// Every address to dial. Looks the name up, which may block for long.
    pub(crate) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        Ok((self.host(), self.port).to_socket_addrs()?.collect())
    }

    /// The addresses to try to listen at, until one works: where no host was
    /// given, all interfaces, by both versions of IP if there are both.
    pub(crate) fn listen_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        if self.host.is_some() {
            return self.resolve();
        }
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, self.port));
        let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port));
        Ok(vec![both, four])
    }
}

/// What fails where looking a name up gave nothing to try.
pub(crate) fn no_address() -> io::Error {
    io::Error::other("the name resolves to no address")
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

fn parse(given: &str) -> Result<(Option<&str>, u16), &'static str> {
    let (host, port) = given.rsplit_once(':').ok_or("it has no port")?;
    let port = port
        .parse()
        .map_err(|_| "its port is no number up to 65535")?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or("its bracket is not closed")?,
        None if host.contains(':') => return Err("an IPv6 address goes in brackets"),
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
    fn host_and_port_are_told_apart_in_every_form() {
        assert_eq!(parts("hub.example:8989"), Some((Some("hub.example"), 8989)));
        assert_eq!(parts("10.0.0.1:0"), Some((Some("10.0.0.1"), 0)));
        assert_eq!(parts("[::1]:80"), Some((Some("::1"), 80)));
        assert_eq!(parts(":8989"), Some((None, 8989)));
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
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
    fn a_port_alone_means_every_interface_or_the_own_machine() {
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
