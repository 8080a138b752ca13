//! Network namespaces with links between them. To the network, each of them is a
//! machine of its own. They need Linux and root.

use std::{
    env,
    io::{self, Write},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// Network namespaces, which are deleted when this is dropped. Their names are unique,
/// so that tests can run in parallel.
pub struct Namespaces {
    prefix: String,
    places: Vec<&'static str>,
}

/// One end of a link: its place, the name of its device, and its address.
pub type End = (&'static str, &'static str, &'static str);

impl Namespaces {
    /// Creates a namespace for each place. The error is a text for people.
    pub fn new(places: &[&'static str]) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut namespaces = Self {
            prefix: format!("wirenet-{}-{number}", std::process::id()),
            places: Vec::new(),
        };
        for place in places {
            run("ip", &format!("netns add {}", namespaces.name(place)))?;
            namespaces.places.push(place);
            namespaces.ip(place, "link set lo up")?;
        }
        Ok(namespaces)
    }

    /// The system's name for the namespace of `place`.
    pub fn name(&self, place: &str) -> String {
        format!("{}-{place}", self.prefix)
    }

    /// Creates a link, with a network of 256 addresses.
    pub fn link(&self, [near, far]: [End; 2]) -> Result<(), String> {
        let ((at, device, _), (far_at, far_device, _)) = (near, far);
        let far_at = self.name(far_at);
        let peer = format!("type veth peer name {far_device} netns {far_at}");
        self.ip(at, &format!("link add {device} {peer}"))?;
        for (at, device, addr) in [near, far] {
            self.ip(at, &format!("addr add {addr}/24 dev {device}"))?;
            self.ip(at, &format!("link set {device} up"))?;
        }
        Ok(())
    }

    /// Runs `ip` in the namespace of `place`.
    pub fn ip(&self, place: &str, args: &str) -> Result<(), String> {
        run("ip", &format!("-n {} {args}", self.name(place)))
    }

    /// Runs `tc` in the namespace of `place`.
    pub fn tc(&self, place: &str, args: &str) -> Result<(), String> {
        run("tc", &format!("-n {} {args}", self.name(place)))
    }

    /// Sets a kernel variable. `name` is its path below `/proc/sys/net`.
    pub fn set(&self, place: &str, name: &str, value: &str) -> Result<(), String> {
        let script = format!("echo {value} > /proc/sys/net/{name}");
        succeed(self.command(place).args(["sh", "-c", &script]))
    }

    /// A command that runs its arguments as a command in the namespace of `place`.
    pub fn command(&self, place: &str) -> Command {
        command_in(&self.name(place))
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for place in &self.places {
            let deleted = run("ip", &format!("netns del {}", self.name(place)));
            if let Err(error) = deleted {
                say(&format!("a network namespace is left behind: {error}"));
            }
        }
    }
}

/// The same, by the system's name for the namespace.
pub fn command_in(namespace: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]);
    command
}

fn run(program: &str, args: &str) -> Result<(), String> {
    succeed(Command::new(program).args(args.split(' ')))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command.output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let why = String::from_utf8_lossy(&output.stderr);
            Err(format!("{command:?}: {}", why.trim()))
        }
    }
}

/// Prints what a test cannot do on this machine. In CI, this is a failure.
pub fn cannot(text: &str) {
    assert!(env::var_os("CI").is_none(), "{text}, and this is CI");
    say(text);
}

/// Prints past the test harness, which hides the output of tests that pass.
pub fn say(text: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // There may be no error output.
    let _ = writeln!(io::stderr(), "{test}: {text}");
}
