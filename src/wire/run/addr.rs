//! Addresses as given to the builder: `host:port`, `:port`, IPv6 in brackets.

use crate::{error::Error, yamux::Role};
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

/// A host name could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("cannot look up {host:?}: {cause}; check the name, and this machine's DNS")]
struct NotFound {
    host: String,
    #[source]
    cause: io::Error,
}

/// An address could not be used, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{cause}; {hint}")]
struct Unusable {
    #[source]
    cause: io::Error,
    hint: &'static str,
}

/// Adds what to do about it to the error of a bind. Keeps the kind.
pub(crate) fn not_bound(cause: io::Error) -> io::Error {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    let hint = match cause.kind() {
        AddrInUse => "another program listens there; stop it, or choose another port",
        AddrNotAvailable => {
            "this machine has no such address; an address without a host means all interfaces"
        }
        PermissionDenied => "ports below 1024 may need privileges",
        _ => return cause,
    };
    io::Error::new(cause.kind(), Unusable { cause, hint })
}

/// Adds what to do about it to the error of a dial. Keeps the kind.
pub(crate) fn not_connected(cause: io::Error) -> io::Error {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    let hint = match cause.kind() {
        ConnectionRefused => "nothing listens there; check the address, and that the server runs",
        TimedOut => "no answer; check the address, and firewalls on the way",
        HostUnreachable | NetworkUnreachable => "check the address, and this machine's network",
        _ => return cause,
    };
    io::Error::new(cause.kind(), Unusable { cause, hint })
}

impl Addr {
    /// Parses the address of a server, which listens there, or of a client, which dials
    /// it.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for the option `option`.
    pub(crate) fn parse(option: &'static str, role: Role, given: String) -> Result<Self, Error> {
        let problem = match parse(role, &given) {
            Ok((_, 0)) if role == Role::Client => {
                "port 0 cannot be dialled; give the port at which the server listens".into()
            }
            Ok((host, port)) => {
                let host = host.map(Into::into);
                return Ok(Self { given, host, port });
            }
            Err(problem) => problem,
        };
        Err(Error::Option {
            option,
            reason: format!("invalid address {given:?}: {problem}"),
        })
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
        let host = self.host();
        let found = (host, self.port).to_socket_addrs().map_err(|cause| {
            let host = host.into();
            io::Error::new(cause.kind(), NotFound { host, cause })
        })?;
        Ok(found.collect())
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
    io::Error::other("the name has no address; check it, and this machine's DNS")
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

/// Splits an address into host and port. Fails with what is wrong and what to write
/// instead.
fn parse(role: Role, given: &str) -> Result<(Option<&str>, u16), String> {
    check_characters(given)?;
    let (host, port) = match given.strip_prefix('[') {
        Some(rest) => split_brackets(rest)?,
        None => split_host(role, given)?,
    };
    Ok(((!host.is_empty()).then_some(host), parse_port(host, port)?))
}

/// Refuses what no address contains.
fn check_characters(given: &str) -> Result<(), String> {
    if given.is_empty() {
        return Err("it is empty; give host:port, for example \"hub.example:8989\"".into());
    }
    if let Some(space) = given.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("it contains {space:?}; remove that"));
    }
    let is_foreign_digit = |c: &char| c.is_numeric() && !c.is_ascii();
    if let Some(digit) = given.chars().find(is_foreign_digit) {
        return Err(format!(
            "it contains {digit:?}, which is not one of the digits 0 to 9"
        ));
    }
    let mut excess = String::new();
    for part in parts_of_url(given) {
        let and = if excess.is_empty() { "" } else { " and " };
        excess += &format!("{and}{part:?}");
    }
    if !excess.is_empty() {
        return Err(format!("it must be host:port, without {excess}"));
    }
    Ok(())
}

/// Returns the parts of a URL other than host and port: scheme, user, and path.
fn parts_of_url(given: &str) -> Vec<&str> {
    // `str::find` with a text would add 2 KiB to a small client.
    let scheme = (0..given.len()).find(|at| given.as_bytes()[*at..].starts_with(b"://"));
    let (scheme, rest) = given.split_at(scheme.map_or(0, |at| at + 3));
    let (rest, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    let (user, host) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
    let path = match path.rsplit_once(':') {
        // The port was written after the path.
        Some((path, port)) if !host.contains(':') && is_number(port) => path,
        _ => path,
    };
    let mut parts = vec![scheme, user, path];
    parts.retain(|part| !part.is_empty());
    parts
}

/// Splits what follows the opening bracket.
fn split_brackets(rest: &str) -> Result<(&str, &str), String> {
    let Some((host, after)) = rest.split_once(']') else {
        return Err("the bracket is not closed; write an IPv6 address as in \"[::1]:8989\"".into());
    };
    if !is_ipv6(host) {
        return Err(format!(
            "{host:?} is not an IPv6 address; only IPv6 addresses may be in brackets"
        ));
    }
    match after.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if after.is_empty() => Err(no_port(&format!("[{host}]"))),
        None => Err(format!(
            "after the bracket comes {after:?}; write a colon and the port, as in \"[{host}]:8989\""
        )),
    }
}

/// Splits an address without brackets.
fn split_host(role: Role, given: &str) -> Result<(&str, &str), String> {
    let Some((host, port)) = given.rsplit_once(':') else {
        if is_number(given) {
            return Err(format!(
                "a port alone is written with a colon: \":{given}\""
            ));
        }
        return Err(no_port(given));
    };
    if host == "*" {
        return Err(match role {
            Role::Server => format!("all interfaces are written without a host: \":{port}\""),
            Role::Client => {
                format!("give the server's host, as in \"hub.example:{port}\"")
            }
        });
    }
    if host.contains(':') {
        return Err(match is_ipv6(given) || is_ipv6(host) {
            true => {
                "an IPv6 address must be in brackets, followed by the port, as in \"[::1]:8989\""
                    .into()
            }
            false => "it has more than one colon; give host:port".into(),
        });
    }
    Ok((host, port))
}

fn no_port(host: &str) -> String {
    format!("the port is missing; give it too, as in \"{host}:8989\"")
}

/// Returns whether the text is an IPv6 address. It may have a zone: `fe80::1%eth0`.
fn is_ipv6(text: &str) -> bool {
    let (addr, zone) = text.split_once('%').unwrap_or((text, "-"));
    addr.parse::<Ipv6Addr>().is_ok() && !zone.is_empty()
}

/// Returns whether the text is a number without a sign.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_port(host: &str, port: &str) -> Result<u16, String> {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.into()
    };
    if port.is_empty() {
        return Err(no_port(&host));
    }
    if !is_number(port) {
        return Err(format!(
            "the port {port:?} is not a number; give it as in \"{host}:8989\""
        ));
    }
    port.parse()
        .map_err(|_| format!("the port {port} is too large; the largest is 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(given: &str) -> Option<(Option<&str>, u16)> {
        parse(Role::Server, given).ok()
    }

    #[test]
    fn every_form_is_split_into_host_and_port() {
        assert_eq!(parts("hub.example:8989"), Some((Some("hub.example"), 8989)));
        assert_eq!(parts("10.0.0.1:0"), Some((Some("10.0.0.1"), 0)));
        assert_eq!(parts("[::1]:80"), Some((Some("::1"), 80)));
        assert_eq!(parts("[fe80::1%eth0]:80"), Some((Some("fe80::1%eth0"), 80)));
        assert_eq!(parts(":8989"), Some((None, 8989)));
        assert_eq!(
            parts("under_score-1:065535"),
            Some((Some("under_score-1"), 65535))
        );
    }

    /// `tests/errors/addresses.rs` has the messages.
    #[test]
    fn an_invalid_address_is_refused_with_the_reason() {
        for given in [
            "",
            "hub.example",
            "hub.example:65536",
            "::1:80",
            "[::1:80",
            "[]:1",
            "hub:+1",
        ] {
            let error = Addr::parse("join", Role::Client, given.into())
                .unwrap_err()
                .to_string();
            assert!(error.contains(&format!("{given:?}: ")), "{error}");
        }
    }

    #[test]
    fn a_port_alone_listens_on_every_interface_and_dials_localhost() {
        let addr = Addr::parse("mount", Role::Server, ":8989".into()).unwrap();
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
