//! The address of a server or hub, in the forms that a program may have.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

/// The address of a server or hub, for [`Wire::mount`](crate::Wire::mount),
/// [`Wire::hub`](crate::Wire::hub) and [`Wire::join`](crate::Wire::join).
///
/// Programs need not create an `Address`: those calls take everything that converts into one.
///
/// | what | examples |
/// |---|---|
/// | text | `"hub.example:8989"`, `"10.0.0.1:8989"`, `"[::1]:8989"`, `":8989"` |
/// | a [`SocketAddr`] | the result of [`Wire::local_addr`](crate::Wire::local_addr) |
/// | host and port | `("hub.example", 8989)`, `("::1", 8989)`, `(Ipv4Addr::LOCALHOST, 0)` |
///
/// A text is `host:port`, with IPv6 addresses in brackets. With `:port`, a server listens on
/// all interfaces, and a client dials this machine.
/// [`Builder::build`](crate::Builder::build) checks the text. The scope id of an IPv6 address
/// is kept.
///
/// # Examples
///
/// ```
/// use wirenet::Wire;
///
/// let server = Wire::mount(("127.0.0.1", 0)).build()?;
/// server.start()?;
/// let client = Wire::join(server.local_addr().expect("the server listens")).build()?;
/// client.start_within(std::time::Duration::from_secs(5))?;
/// # Ok::<(), wirenet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// Prints the address as text.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Address {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<&String> for Address {
    fn from(text: &String) -> Self {
        Self(text.clone())
    }
}

impl From<Cow<'_, str>> for Address {
    fn from(text: Cow<'_, str>) -> Self {
        Self(text.into_owned())
    }
}

impl From<Box<str>> for Address {
    fn from(text: Box<str>) -> Self {
        Self(text.into())
    }
}

/// Implements the conversion from types whose text is `host:port`.
macro_rules! from_socket_addr {
    ($($addr:ty),*) => {$(
        impl From<$addr> for Address {
            fn from(addr: $addr) -> Self {
                Self(addr.to_string())
            }
        }
    )*};
}

from_socket_addr!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    &SocketAddr,
    &SocketAddrV4,
    &SocketAddrV6
);

/// Implements the conversion from a host and a port. An IPv6 address gets its brackets.
macro_rules! from_host_and_port {
    ($($host:ty),*) => {$(
        impl From<($host, u16)> for Address {
            fn from((host, port): ($host, u16)) -> Self {
                let host = host.to_string();
                match host.contains(':') && !host.starts_with('[') {
                    true => Self(format!("[{host}]:{port}")),
                    false => Self(format!("{host}:{port}")),
                }
            }
        }
    )*};
}

from_host_and_port!(&str, String, &String, IpAddr, Ipv4Addr, Ipv6Addr);

#[cfg(test)]
mod tests {
    use super::*;

    fn text(address: impl Into<Address>) -> String {
        address.into().into_text()
    }

    #[test]
    fn every_form_becomes_text() {
        let four: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let six = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 0, 0);
        let borrowed = &String::from(":80");
        let scoped = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 7);
        for (given, expected) in [
            (text("hub.example:80"), "hub.example:80"),
            (text(String::from(":80")), ":80"),
            (text(borrowed), ":80"),
            (text(Cow::from(":80")), ":80"),
            (text(Box::<str>::from(":80")), ":80"),
            (text(four), "127.0.0.1:80"),
            (text(six), "[::1]:80"),
            (text(SocketAddr::from(scoped)), "[fe80::1%7]:80"),
            (text(("hub.example", 80)), "hub.example:80"),
            (text((String::from("::1"), 80)), "[::1]:80"),
            (text(("[::1]", 80)), "[::1]:80"),
            (text(("", 80)), ":80"),
            (text((Ipv4Addr::LOCALHOST, 80)), "127.0.0.1:80"),
            (text((IpAddr::from(Ipv6Addr::LOCALHOST), 80)), "[::1]:80"),
        ] {
            assert_eq!(given, expected);
        }
    }
}
