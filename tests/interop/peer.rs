//! What a Go program says on its standard output, a line at a time. The words
//! are those of `go/src/interop/peer`.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::process::{ChildStdin, ChildStdout};

/// What hashicorp/yamux logs without anybody being at fault; two of its own do
/// it to each other.
const NOBODYS_FAULT: [&str; 2] = [
    // Credit for a stream that both sides have just closed.
    "frame for missing stream: Vsn:0 Type:1 Flags:0",
    // Its end of a stream, which its end of the connection overtook.
    "use of closed network connection",
];

/// The input and the output of a running program.
pub struct GoPeer {
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// Lines of the kinds `log`, `violation` and `reset` so far.
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

    /// Where the program listens.
    pub fn ready(&mut self) -> SocketAddr {
        self.next("ready")
            .parse()
            .expect("an address on the ready line")
    }

    /// The program's next note.
    pub fn note(&mut self) -> String {
        self.next("note")
    }

    /// Its next notes, so many.
    pub fn notes(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.note()).collect()
    }

    /// Gives the program a line of input.
    pub fn type_line(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the program reads its input");
    }

    /// Has one of the examples stop, and waits for its end as
    /// [`ends_well`](Self::ends_well) does.
    pub fn stops_well(mut self) {
        self.type_line("stop");
        self.ends_well();
    }

    /// Waits for the program's end: well, and without a complaint about us.
    pub fn ends_well(self) {
        self.ends_well_but_for(&[]);
    }

    /// The same, where the test brings some complaints about.
    pub fn ends_well_but_for(mut self, expected: &[&str]) {
        assert_eq!(
            self.next("result"),
            "ok",
            "complaints before: {:#?}",
            self.complaints
        );
        let unexpected = |line: &&String| {
            let mut known = expected.iter().chain(&NOBODYS_FAULT);
            !known.any(|text| line.contains(text))
        };
        let left: Vec<_> = self.complaints.iter().filter(unexpected).collect();
        assert!(left.is_empty(), "the Go side complains: {left:#?}");
    }

    /// The text of the next line of a kind, past complaints.
    fn next(&mut self, kind: &str) -> String {
        loop {
            let line = self.lines.next().unwrap_or_else(|| {
                panic!(
                    "the Go side ended before its {kind} line: {:#?}",
                    self.complaints
                )
            });
            let line = line.expect("lines of text from the Go side");
            let (word, text) = line.split_once(' ').unwrap_or((&line, ""));
            match word {
                _ if word == kind => return text.to_owned(),
                "log" | "violation" | "reset" => self.complaints.push(line),
                // What no test asked for, at the end.
                "note" if kind == "result" => {}
                _ => panic!(
                    "the Go side says {line:?} before its {kind} line: {:#?}",
                    self.complaints
                ),
            }
        }
    }
}
