//! Promises that all examples with several roles keep: help, arguments, addresses.

use crate::program::{NONE, join, run, serve};
use crate::refusing::Refusing;
use std::{fs, net::TcpListener, path::Path};

struct Example {
    name: &'static str,
    port: u16,
    server: &'static str,
    clients: &'static [&'static str],
    /// Arguments that a client requires, or without which it would retry for long.
    args: &'static [&'static str],
}

const EXAMPLES: &[Example] = &[
    Example {
        name: "auth",
        port: 8989,
        server: "server",
        clients: &["aws", "digitalocean", "macbook"],
        args: &[],
    },
    Example {
        name: "reconnect",
        port: 9876,
        server: "server",
        clients: &["client"],
        args: &["--tries", "1", "--wait-ms", "1"],
    },
    Example {
        name: "shell",
        port: 9099,
        server: "server",
        clients: &["host_a", "host_b"],
        args: &[],
    },
    Example {
        name: "exchange",
        port: 9888,
        server: "server",
        clients: &["binance", "google", "okcoin"],
        args: &[],
    },
    Example {
        name: "keyboard",
        port: 8976,
        server: "server",
        clients: &["client"],
        args: &[],
    },
    Example {
        name: "hub",
        port: 8765,
        server: "hub",
        clients: &["node_a", "node_b"],
        args: &[],
    },
    #[cfg(feature = "tls")]
    Example {
        name: "tls",
        port: 9076,
        server: "server",
        clients: &["client"],
        args: &[],
    },
    Example {
        name: "tunnel",
        port: 7722,
        server: "hub",
        clients: &["expose"],
        args: &["--name", "x", "--to", "127.0.0.1:22", "--fail-fast"],
    },
    Example {
        name: "tunnel",
        port: 7722,
        server: "hub",
        clients: &["forward"],
        args: &["--name", "x", "--listen", "127.0.0.1:0", "--fail-fast"],
    },
];

/// `println!` panics if stdout is closed, and any write blocks if nobody reads it.
#[test]
fn only_one_file_writes_to_stdout_and_stderr() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for folder in [folder.join("support"), folder] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_file() || path.ends_with("support/output.rs") {
                continue;
            }
            let source = fs::read_to_string(&path).unwrap();
            for print in ["print!(", "println!(", "dbg!(", "io::stdout()"] {
                assert!(!source.contains(print), "{path:?} has {print}");
            }
        }
    }
}

#[test]
fn help_lists_all_roles_and_options() {
    for Example {
        name,
        port,
        server,
        clients,
        ..
    } in EXAMPLES
    {
        let help = run(name, ["--help"]);
        help.assert_success();
        let help = help.stdout.join("\n");
        let addr = format!("[default: 127.0.0.1:{port}]");
        assert!(
            help.contains("--addr <HOST:PORT>") && help.contains(&addr),
            "{help}"
        );
        for role in clients.iter().chain([server]) {
            assert!(help.contains(&format!("\n  {role} ")), "{role}: {help}");
            run(name, [role, "--help"]).assert_success();
        }
    }
}

#[test]
fn wrong_arguments_are_refused() {
    for Example {
        name,
        server,
        clients,
        args,
        ..
    } in EXAMPLES
    {
        run(name, NONE).assert_failure(&format!("Usage: {name}"));
        run(name, ["nonsense"]).assert_failure("nonsense");
        for role in clients.iter().chain([server]) {
            run(name, [role, "--colour"]).assert_failure("--colour");
        }
        run(name, [server, "--addr", "nowhere"]).assert_failure("nowhere");
        for role in *clients {
            let client = join(name, role, "nowhere", *args).end();
            client.assert_failure("error: Wire::join: invalid address \"nowhere\"");
        }
    }
}

#[test]
fn an_unreachable_server_is_reported() {
    let refusing = Refusing::new();
    let addr = refusing.addr.to_string();
    let reason = format!("error: cannot connect to {addr}");
    for Example {
        name,
        clients,
        args,
        ..
    } in EXAMPLES
    {
        for role in *clients {
            join(name, role, &addr, *args).end().assert_failure(&reason);
        }
    }
}

#[test]
fn an_address_in_use_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let reason = format!("error: cannot listen at {addr}");
    for Example { name, server, .. } in EXAMPLES {
        run(name, [server, "--addr", &addr]).assert_failure(&reason);
    }
}

#[test]
fn a_server_without_clients_stops_on_a_signal() {
    for Example { name, server, .. } in EXAMPLES {
        // The keyboard's server ends by itself, as its input ends at once.
        if *name != "keyboard" {
            serve(name, server, NONE).0.terminate();
        }
    }
}
