//! The streams that a client of the soak test offers, and the calls that its callers
//! make.

use super::{
    clients::{Client, Crowd},
    transfer::{self, Plan, Reading, Trouble},
};
use crate::support::{pattern::PIECE, random::Random};
use std::{
    io::{self, Read, Write},
    sync::Arc,
    thread,
};
use wirenet::{Builder, Error, Refusal, Session, Stream};

/// The text with which a client's validator refuses one of its streams.
const CLOSED: &str = "closed today";

/// A name that no client offers.
const MISSING: &str = "missing";

pub const LARGEST: u64 = 64 << 20;

/// What a caller does on a stream of another client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends.
    Push,
    /// Receives.
    Pull,
    /// Sends and receives at once.
    Echo,
    /// Sends before the stream is accepted.
    Hasty,
    /// Opens a name that the hub refuses.
    Unknown,
    /// Opens a stream that the other client refuses.
    Closed,
    /// Sends a part, and resets the stream.
    Reset,
    /// Sends a part, and drops the stream.
    Drop,
    /// Receives from a sender that fails in the middle.
    PullFailing,
    /// Opens a stream, and drops it.
    Leave,
}

impl Action {
    pub fn choose(random: &mut Random) -> Self {
        match random.below(100) {
            0..35 => Self::Push,
            35..65 => Self::Pull,
            65..72 => Self::Echo,
            72..82 => Self::Hasty,
            82..86 => Self::Unknown,
            86..90 => Self::Closed,
            90..93 => Self::Reset,
            93..95 => Self::Drop,
            95..98 => Self::PullFailing,
            _ => Self::Leave,
        }
    }
}

impl Plan {
    /// Chooses a plan. Small messages are frequent, large ones rare.
    pub fn choose(random: &mut Random) -> Self {
        let upto = match random.below(200) {
            0..20 => 1,
            20..100 => 1 << 10,
            100..160 => 64 << 10,
            160..191 => 1 << 20,
            191..199 => 16 << 20,
            _ => LARGEST,
        };
        let size = match upto {
            LARGEST => LARGEST,
            upto => random.below(upto as usize) as u64,
        };
        let reading = match random.below(10) {
            0 if size <= 1 << 20 => Reading::Slowly,
            1 => Reading::Late,
            _ => Reading::AtOnce,
        };
        Self {
            size,
            start: random.next() >> 32,
            reading,
            fails: false,
        }
    }
}

/// Adds the streams that a client offers.
pub fn offer(client: Builder, name: &str, crowd: &Arc<Crowd>) -> Builder {
    let [taking, giving] = [Arc::clone(crowd), Arc::clone(crowd)];
    let closed = format!("{name}:closed");
    client
        .stream(format!("{name}:take"), move |stream| {
            taking.serve(take(stream, &taking))
        })
        .stream(format!("{name}:give"), move |stream| {
            giving.serve(give(stream, &giving))
        })
        .stream(format!("{name}:echo"), echo)
        .stream(closed.clone(), |_| Ok(()))
        .token_validator(move |name, _, _| match name == closed {
            true => Err(CLOSED.into()),
            false => Ok(()),
        })
}

fn take(stream: &Stream, crowd: &Crowd) -> Result<(), Trouble> {
    let plan = Plan::read(stream)?;
    let received = transfer::receive(stream, &plan, &crowd.gate)?;
    crowd.delivered(&plan);
    Ok(stream.write_message(received)?)
}

fn give(stream: &Stream, crowd: &Crowd) -> Result<(), Trouble> {
    let plan = Plan::read(stream)?;
    transfer::send(stream, &plan, &crowd.pattern)
}

/// Sends back each message.
fn echo(stream: &mut Stream) -> io::Result<()> {
    let mut buf = vec![0; PIECE];
    while stream.next_message()? {
        loop {
            match stream.read(&mut buf)? {
                0 => break,
                count => stream.write_all(&buf[..count])?,
            }
        }
        stream.finish()?;
    }
    Ok(())
}

/// Performs one action. Returns `Ok` if its outcome is the expected one.
pub fn call(
    client: &Client,
    session: &Session,
    other: &str,
    action: Action,
    plan: &Plan,
) -> Result<(), Trouble> {
    let crowd = &*client.crowd;
    let open = |what: &str| session.open_stream(format!("{other}:{what}"));
    match action {
        Action::Push => push(&open("take")?, plan, crowd),
        Action::Hasty => {
            let stream = session.open_stream_nowait(format!("{other}:take"))?;
            push(&stream, plan, crowd)
        }
        Action::Pull => {
            let stream = open("give")?;
            stream.write_message(plan.encode())?;
            transfer::receive(&stream, plan, &crowd.gate)?;
            crowd.delivered(plan);
            Ok(stream.close()?)
        }
        Action::Echo => there_and_back(&open("echo")?, plan, crowd),
        Action::Unknown => refused(session.open_stream(MISSING), &Refusal::HandlerNotFound),
        Action::Closed => refused(open("closed"), &Refusal::Other(CLOSED.into())),
        Action::Reset | Action::Drop => {
            let stream = open("take")?;
            stream.write_message(plan.encode())?;
            // Without this byte, the end would come right after a complete part.
            let part = Plan {
                fails: true,
                ..*plan
            };
            let sent = transfer::send(&stream, &part, &crowd.pattern);
            (&stream).write_all(&[0])?;
            if action == Action::Reset {
                stream.reset();
            }
            as_planned(sent)
        }
        Action::PullFailing => {
            let stream = open("give")?;
            let part = Plan {
                fails: true,
                ..*plan
            };
            stream.write_message(part.encode())?;
            match transfer::receive(&stream, &part, &crowd.gate) {
                Ok(_) => Err(Trouble::wrong("a part was reported as complete")),
                Err(Trouble::Failed(_)) => Ok(()),
                Err(wrong) => Err(wrong),
            }
        }
        Action::Leave => open("take").map(drop).map_err(Trouble::from),
    }
}

fn push(stream: &Stream, plan: &Plan, crowd: &Crowd) -> Result<(), Trouble> {
    stream.write_message(plan.encode())?;
    transfer::send(stream, plan, &crowd.pattern)?;
    let answer = crate::support::wires::message(stream)?;
    // The receiver has compared the message with its checksum.
    if answer.len() != 16 || !stream.was_finished() {
        return Err(Trouble::wrong(format!("wrong answer: {answer:?}")));
    }
    Ok(stream.close()?)
}

fn there_and_back(stream: &Stream, plan: &Plan, crowd: &Crowd) -> Result<(), Trouble> {
    thread::scope(|scope| {
        let sending = scope.spawn(|| transfer::send(stream, plan, &crowd.pattern));
        let received = transfer::receive(stream, plan, &crowd.gate);
        if received.is_err() {
            // The rest is not read.
            stream.reset();
        }
        let sent = sending.join().expect("no panic");
        received.and(sent)
    })?;
    crowd.delivered(plan);
    Ok(stream.close()?)
}

fn refused(opened: Result<Stream, Error>, expected: &Refusal) -> Result<(), Trouble> {
    match opened {
        Err(Error::Refused { refusal, .. }) if refusal == *expected => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(Trouble::wrong("a stream that must be refused was accepted")),
    }
}

fn as_planned(outcome: Result<(), Trouble>) -> Result<(), Trouble> {
    match outcome {
        Err(Trouble::Failed(why)) if why == "as planned" => Ok(()),
        other => other,
    }
}
