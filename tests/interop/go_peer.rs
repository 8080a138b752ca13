//! A running Go program, which reports to the test in lines on its standard
//! output. `go/src/interop/peer` defines the kinds of lines.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::process::{ChildStdin, ChildStdout};

/// Lines that hashicorp/yamux logs although neither peer is at fault. It logs them
/// even when it talks to itself.
const HARMLESS_LOGS: [&str; 3] = [
    // Credit arrived for a stream that both peers have just closed.
    "frame for missing stream: Vsn:0 Type:1 Flags:0",
    // It closed the connection before it had closed the stream.
    "use of closed network connection",
    // It answers a ping in a goroutine of its own, and read the end of the connection
    // before that ran. A peer that closes sends a ping right before it.
    "failed to send ping reply: session shutdown",
];

/// The input and output of a running Go program.
pub struct GoPeer {
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// All lines so far of the kinds `log`, `violation` and `reset`.
    complaints: Vec<String>,
}

impl GoPeer {
    pub fn new(input: ChildStdin, output: ChildStdout) -> GoPeer {
        GoPeer {
            input,
            lines: BufReader::new(output).lines(),
            complaints: Vec::new(),
        }
    }

    /// Waits until the program listens, and returns its address.
    pub fn listen_address(&mut self) -> SocketAddr {
        self.next("ready")
            .parse()
            .expect("an address on the ready line")
    }

    /// Returns the program's next note.
    pub fn note(&mut self) -> String {
        self.next("note")
    }

    /// Returns the program's next `count` notes.
    pub fn notes(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.note()).collect()
    }

    /// Writes a line to the program's input.
    pub fn type_line(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the program reads its input");
    }

    /// Stops one of the examples, then does the same as
    /// [`expect_success`](Self::expect_success).
    pub fn stop(mut self) {
        self.type_line("stop");
        self.expect_success();
    }

    /// Waits until the program ends, and asserts that it succeeded and complained
    /// about nothing.
    pub fn expect_success(self) {
        self.expect_success_despite(&[]);
    }

    /// The same, but allows complaints that contain one of the texts in `expected`.
    pub fn expect_success_despite(mut self, expected: &[&str]) {
        assert_eq!(
            self.next("result"),
            "ok",
            "complaints before: {:#?}",
            self.complaints
        );
        let unexpected = |line: &&String| {
            let mut known = expected.iter().chain(&HARMLESS_LOGS);
            !known.any(|text| line.contains(text))
        };
        let left: Vec<_> = self.complaints.iter().filter(unexpected).collect();
        assert!(left.is_empty(), "the Go program complains: {left:#?}");
    }

    /// Returns the text of the next line of a kind. Collects the complaints before
    /// it.
    fn next(&mut self, kind: &str) -> String {
        loop {
            let line = self.lines.next().unwrap_or_else(|| {
                panic!(
                    "the Go program ended before its {kind} line: {:#?}",
                    self.complaints
                )
            });
            let line = line.expect("lines of text from the Go program");
            let (word, text) = line.split_once(' ').unwrap_or((&line, ""));
            match word {
                _ if word == kind => return text.to_owned(),
                "log" | "violation" | "reset" => self.complaints.push(line),
                // Notes at the end that the test does not ask for.
                "note" if kind == "result" => {}
                _ => panic!(
                    "the Go program printed {line:?} before its {kind} line: {:#?}",
                    self.complaints
                ),
            }
        }
    }
}
