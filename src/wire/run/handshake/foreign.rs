//! What the errors of a handshake say about a peer that speaks another protocol.

use crate::{foreign::Foreign, yamux::Role};

/// Says what the peer of a wire of this role speaks, and what to do.
pub(super) fn explain(foreign: Foreign, peer: &str, role: Role, first: &[u8]) -> String {
    let (_, this) = sides(role);
    match foreign {
        Foreign::Tls => format!("{peer} speaks TLS; this {this} has no `.tls(…)`"),
        Foreign::Named(name) => format!("{peer} speaks {name}, not wirenet"),
        Foreign::Unknown => format!(
            "{peer} does not speak wirenet: it began with \"{}\"",
            first.escape_ascii()
        ),
    }
}

/// Returns the names of the peer of a wire, and of the wire itself.
pub(super) fn sides(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Client => ("server", "client"),
        Role::Server => ("client", "server"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_of_an_unknown_protocol_are_printed_on_one_line() {
        let first = b"\x01\n\x1b[2J\"";
        let text = explain(Foreign::Unknown, "the client", Role::Server, first);
        assert_eq!(
            text,
            r#"the client does not speak wirenet: it began with "\x01\n\x1b[2J\"""#
        );
    }
}
