//! Services that their clients can only reach through the tunnel's hub: a web
//! server, and an OpenSSH server if one is installed.
//!
//! Service, hub and client each have a network namespace, and no route leads from
//! the service's to the client's. If namespaces cannot be created, they are three
//! addresses of this machine.

use crate::{
    namespaces::{End, Namespaces, cannot, command_in, say},
    program::{Program, example},
};
use sha2::{Digest, Sha256};
use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const TOKEN: [&str; 2] = ["--token", "a secret"];

// -- places --

/// A place in the network.
struct Place {
    /// `None` is this machine's own network.
    namespace: Option<String>,
    /// The address at which the other places reach it, if they can.
    addr: &'static str,
}

/// The places of the service, the hub and the client. The hub has an address for
/// each of the others.
struct Network {
    service: Place,
    hub: [Place; 2],
    client: Place,
    _namespaces: Option<Namespaces>,
}

impl Network {
    fn new() -> Self {
        match Self::of_namespaces() {
            Ok(network) => {
                say("through network namespaces");
                network
            }
            Err(error) => {
                cannot(&format!(
                    "NO NETWORK NAMESPACES ({error}): through addresses of this machine instead, \
                     which could reach each other"
                ));
                Self::on_this_machine()
            }
        }
    }

    fn on_this_machine() -> Self {
        let place = |addr| Place {
            namespace: None,
            addr,
        };
        Self {
            service: place("127.43.0.2"),
            hub: [place("127.43.0.1"), place("127.43.0.1")],
            client: place("127.43.0.3"),
            _namespaces: None,
        }
    }

    fn of_namespaces() -> Result<Self, String> {
        let namespaces = Namespaces::new(&["service", "hub", "client"])?;
        let to_service = ("hub", "to-service", "10.77.1.1");
        let to_client = ("hub", "to-client", "10.77.2.1");
        let service = ("service", "to-hub", "10.77.1.2");
        let client = ("client", "to-hub", "10.77.2.2");
        namespaces.link([service, to_service])?;
        namespaces.link([client, to_client])?;
        let place = |(at, _, addr): End| Place {
            namespace: Some(namespaces.name(at)),
            addr,
        };
        Ok(Self {
            service: place(service),
            hub: [place(to_service), place(to_client)],
            client: place(client),
            _namespaces: Some(namespaces),
        })
    }
}

impl Place {
    /// Returns the command as it is run in this place.
    fn command(&self, command: &Command) -> Command {
        let mut here = match &self.namespace {
            Some(namespace) => {
                let mut there = command_in(namespace);
                there.arg(command.get_program());
                there
            }
            None => Command::new(command.get_program()),
        };
        here.args(command.get_args()).env_remove("RUST_LOG");
        here
    }

    fn python(&self, script: &str) -> Command {
        let mut command = Command::new("python3");
        command.args(["-c", script]);
        self.command(&command)
    }

    fn tunnel(&self, role: &str) -> Command {
        let mut command = example("tunnel");
        command.arg(role).args(TOKEN);
        self.command(&command)
    }
}

// -- the tunnel --

/// The programs that connect a client to the service.
struct Tunnel {
    forward: Program,
    expose: Program,
    hub: Program,
    entrance: String,
}

impl Tunnel {
    /// Starts a tunnel to the service that listens at `to` in its own place.
    fn new(network: &Network, to: &str) -> Self {
        let any = match &network.hub[0].namespace {
            // The hub listens in both networks.
            Some(_) => "0.0.0.0:0".to_string(),
            None => format!("{}:0", network.hub[0].addr),
        };
        let mut hub = network.hub[0].tunnel("hub");
        let hub = Program::start(hub.args(["--addr", &any]));
        let addr = hub.address();
        let (_, port) = addr.rsplit_once(':').unwrap();
        let at = |place: &Place| format!("{}:{port}", place.addr);

        let mut expose = network.service.tunnel("expose");
        expose.args(["--name", "service", "--to", to, "--addr"]);
        let expose = Program::start(expose.arg(at(&network.hub[0])));
        expose.line("connected");

        let mut forward = network.client.tunnel("forward");
        let listen = match &network.client.namespace {
            Some(_) => "127.0.0.1:0".to_string(),
            None => format!("{}:0", network.client.addr),
        };
        forward.args(["--name", "service", "--listen", &listen, "--addr"]);
        let forward = Program::start(forward.arg(at(&network.hub[1])));
        let entrance = forward.address();
        forward.line("connected");
        Self {
            forward,
            expose,
            hub,
            entrance,
        }
    }

    fn end(self) {
        self.forward.terminate().assert_success();
        self.expose.terminate().assert_success();
        self.hub.terminate().assert_success();
    }
}

/// Checks that the client cannot reach the service without the tunnel.
fn assert_out_of_reach(network: &Network, addr: &str) {
    if network.client.namespace.is_none() {
        return;
    }
    let (_, port) = addr.rsplit_once(':').unwrap();
    let script = "import socket, sys\n\
        socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)";
    let mut direct = network.client.python(script);
    let direct = direct.args([network.service.addr, port]).output().unwrap();
    assert!(!direct.status.success());
    let reason = String::from_utf8_lossy(&direct.stderr).into_owned();
    assert!(reason.contains("Network is unreachable"), "{reason}");
}

// -- files --

/// Returns content that differs from file to file, and in which lost, doubled or
/// swapped bytes are noticed.
fn content(file: u32, len: u32) -> Vec<u8> {
    let bytes = |index: u32| {
        let mixed = (index ^ file << 24).wrapping_mul(0x9e37_79b9);
        (mixed ^ mixed >> 15)
            .wrapping_mul(0x85eb_ca6b)
            .to_le_bytes()
    };
    (0..len.div_ceil(4)).flat_map(bytes).collect()
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The length of a file: more than a window.
const FILE_LEN: u32 = 300_000;

/// Creates files to fetch. Returns their names and checksums.
fn files(dir: &Path, count: u32) -> Vec<(String, String)> {
    let file = |number| {
        let (name, bytes) = (format!("file-{number}"), content(number, FILE_LEN));
        fs::write(dir.join(&name), &bytes).unwrap();
        (name, sha256(&bytes))
    };
    (0..count).map(file).collect()
}

// -- a web server --

/// `python3 -m http.server` with a longer queue: the default has room for five.
const WEB_SERVER: &str = r#"
import functools, http.server, sys
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[2])
server = Server((sys.argv[1], 0), handler)
print("listening at %s:%d" % server.server_address, flush=True)
server.serve_forever()
"#;

/// Fetches all files at once: none is read before all responses have begun.
const WEB_CLIENT: &str = r#"
import concurrent.futures, hashlib, http.client, sys, threading
host, port = sys.argv[1].rsplit(":", 1)
names = sys.argv[2:]
begun = threading.Barrier(len(names), timeout=60)
def fetch(name):
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request("GET", "/" + name)
    response = connection.getresponse()
    begun.wait()
    return name + " " + hashlib.sha256(response.read()).hexdigest()
with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
    for line in pool.map(fetch, names):
        print(line, flush=True)
"#;

#[test]
fn a_web_server_serves_32_connections_at_once_through_the_tunnel() {
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("no python3");
    }
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), 32);
    let network = Network::new();
    let mut server = network.service.python(WEB_SERVER);
    let bind = match &network.service.namespace {
        Some(_) => "0.0.0.0",
        None => network.service.addr,
    };
    let server = Program::start(server.arg(bind).arg(dir.path()));
    let to = server.address();
    assert_out_of_reach(&network, &to);
    let tunnel = Tunnel::new(&network, &to);

    let mut client = network.client.python(WEB_CLIENT);
    client.arg(&tunnel.entrance);
    client.args(files.iter().map(|(name, _)| name));
    let client = Program::start(&mut client).end();
    client.assert_success();
    let expected = files.iter().map(|(name, sum)| format!("{name} {sum}"));
    assert_eq!(client.stdout, expected.collect::<Vec<_>>());
    tunnel.end();
}

fn skip(reason: &str) {
    cannot(&format!("SKIPPED: {reason}"));
}

// -- an OpenSSH server --

/// Listens, and starts a command for each connection, with the connection as its
/// input and output, like inetd.
const INETD: &str = r#"
import socket, subprocess, sys
listener = socket.create_server((sys.argv[1], 0), backlog=128)
print("listening at %s:%d" % listener.getsockname(), flush=True)
running = []
while True:
    connection, _ = listener.accept()
    with connection:
        running.append(subprocess.Popen(sys.argv[2:], stdin=connection, stdout=connection))
"#;

fn sshd() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    dirs.map(|dir| dir.join("sshd")).find(|path| path.exists())
}

fn keys(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
    let output = command.arg(&path).output().expect("it comes with ssh");
    assert!(output.status.success(), "{output:?}");
    path
}

#[test]
fn clients_reach_an_ssh_server() {
    let Some(sshd) = sshd() else {
        return skip("no OpenSSH server is installed");
    };
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("no python3");
    }
    let dir = tempfile::tempdir().unwrap();
    let [host, user] = ["host", "user"].map(|name| keys(dir.path(), name));
    // sshd requires this folder when root starts it.
    let _ = fs::create_dir_all("/run/sshd");

    let network = Network::new();
    let mut server = network.service.python(INETD);
    let bind = match &network.service.namespace {
        Some(_) => "0.0.0.0",
        None => network.service.addr,
    };
    server
        .arg(bind)
        .arg(sshd)
        .args(["-i", "-e", "-f", "/dev/null"]);
    server.arg("-h").arg(&host);
    let authorized = format!("AuthorizedKeysFile={}.pub", user.display());
    for option in [
        "StrictModes=no",
        "UsePAM=no",
        "PermitRootLogin=yes",
        &authorized,
    ] {
        server.args(["-o", option]);
    }
    let server = Program::start(&mut server);
    let to = server.address();
    assert_out_of_reach(&network, &to);
    let tunnel = Tunnel::new(&network, &to);

    let files = files(dir.path(), 4);
    let runs = files.iter().map(|(name, sum)| {
        let path = dir.path().join(name);
        let fetch = format!("cat {}", path.display());
        let fetched = ssh(&network, &tunnel.entrance, &user, &fetch, Stdio::null());
        let file = File::open(path).unwrap();
        let sent = ssh(&network, &tunnel.entrance, &user, "sha256sum", file.into());
        (sum, fetched, sent)
    });
    let runs = runs.collect::<Vec<_>>();
    for (sum, fetched, sent) in runs {
        let [fetched, sent] = [fetched, sent].map(|ssh| ssh.wait_with_output().unwrap());
        assert_done(&fetched);
        assert_done(&sent);
        assert_eq!(&sha256(&fetched.stdout), sum);
        assert_eq!(
            String::from_utf8(sent.stdout).unwrap(),
            format!("{sum}  -\n")
        );
    }
    tunnel.end();
}

#[track_caller]
fn assert_done(ssh: &Output) {
    let stderr = String::from_utf8_lossy(&ssh.stderr);
    assert!(ssh.status.success(), "{stderr}");
}

/// Runs a command on the service's host.
fn ssh(
    network: &Network,
    entrance: &str,
    key: &Path,
    command: &str,
    input: Stdio,
) -> std::process::Child {
    let name = Command::new("id").arg("-un").output().unwrap();
    let name = String::from_utf8(name.stdout).unwrap();
    let (host, port) = entrance.rsplit_once(':').unwrap();
    let mut ssh = network.client.command(&Command::new("ssh"));
    ssh.args(["-F", "none", "-p", port, "-l", name.trim()])
        .arg("-i")
        .arg(key);
    for option in [
        "BatchMode=yes",
        "ConnectTimeout=60",
        "IdentitiesOnly=yes",
        "LogLevel=ERROR",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
    ] {
        ssh.args(["-o", option]);
    }
    let ssh = ssh.arg(host).arg(command).stdin(input);
    ssh.stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}
