//! What a client of the soak offers, and what its callers do.

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

/// What a client's validator says of one of its streams.
const CLOSED: &str = "closed today";

/// A name that nobody offers.
const NOBODY: &str = "nobody";

pub const LARGEST: u64 = 64 << 20;

/// What a caller does on a stream of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Sends to it.
    Push,
    /// Has it send.
    Pull,
    /// Both at once.
    Echo,
    /// Sends before it knows that the stream is accepted.
    Hasty,
    /// Asks for what is refused, by the hub or by the other client.
    Unknown,
    Closed,
    /// Sends a part, and resets the stream.
    Reset,
    /// The same, without a word: the stream is dropped.
    Drop,
    /// Has it send, and fail in the middle.
    PullFailing,
    /// Opens a stream and leaves.
    Leave,
}

impl Deed {
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
    /// Small ones are frequent, large ones rare.
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
    Ok(stream.write_message(&received)?)
}

fn give(stream: &Stream, crowd: &Crowd) -> Result<(), Trouble> {
    let plan = Plan::read(stream)?;
    transfer::send(stream, &plan, &crowd.pattern)
}

/// Sends back what comes, message by message.
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

/// Does it once; `Ok` if it went as the deed has it.
pub fn call(
    client: &Client,
    session: &Session,
    other: &str,
    deed: Deed,
    plan: &Plan,
) -> Result<(), Trouble> {
    let crowd = &*client.crowd;
    let open = |what: &str| session.open_stream(&format!("{other}:{what}"));
    match deed {
        Deed::Push => push(&open("take")?, plan, crowd),
        Deed::Hasty => {
            let stream = session.open_stream_nowait(&format!("{other}:take"))?;
            push(&stream, plan, crowd)
        }
        Deed::Pull => {
            let stream = open("give")?;
            stream.write_message(&plan.encode())?;
            transfer::receive(&stream, plan, &crowd.gate)?;
            crowd.delivered(plan);
            Ok(stream.close()?)
        }
        Deed::Echo => there_and_back(&open("echo")?, plan, crowd),
        Deed::Unknown => refused(session.open_stream(NOBODY), &Refusal::HandlerNotFound),
        Deed::Closed => refused(open("closed"), &Refusal::Other(CLOSED.into())),
        Deed::Reset | Deed::Drop => {
            let stream = open("take")?;
            stream.write_message(&plan.encode())?;
            // There is an end to be missed.
            let part = Plan {
                fails: true,
                ..*plan
            };
            let sent = transfer::send(&stream, &part, &crowd.pattern);
            (&stream).write_all(&[0])?;
            if deed == Deed::Reset {
                stream.reset();
            }
            as_planned(sent)
        }
        Deed::PullFailing => {
            let stream = open("give")?;
            let part = Plan {
                fails: true,
                ..*plan
            };
            stream.write_message(&part.encode())?;
            match transfer::receive(&stream, &part, &crowd.gate) {
                Ok(_) => Err(Trouble::wrong("a part was complete")),
                Err(Trouble::Failed(_)) => Ok(()),
                Err(wrong) => Err(wrong),
            }
        }
        Deed::Leave => open("take").map(drop).map_err(Trouble::from),
    }
}

fn push(stream: &Stream, plan: &Plan, crowd: &Crowd) -> Result<(), Trouble> {
    stream.write_message(&plan.encode())?;
    transfer::send(stream, plan, &crowd.pattern)?;
    let answer = crate::support::wires::message(stream)?;
    // Its receiver has compared it with what was sent.
    if answer.len() != 16 || !stream.was_finished() {
        return Err(Trouble::wrong(format!("{answer:?} is the answer")));
    }
    Ok(stream.close()?)
}

fn there_and_back(stream: &Stream, plan: &Plan, crowd: &Crowd) -> Result<(), Trouble> {
    thread::scope(|scope| {
        let sending = scope.spawn(|| transfer::send(stream, plan, &crowd.pattern));
        let received = transfer::receive(stream, plan, &crowd.gate);
        if received.is_err() {
            // Nobody takes the rest.
            stream.reset();
        }
        let sent = sending.join().expect("it does not panic");
        received.and(sent)
    })?;
    crowd.delivered(plan);
    Ok(stream.close()?)
}

fn refused(opened: Result<Stream, Error>, expected: &Refusal) -> Result<(), Trouble> {
    match opened {
        Err(Error::Refused { refusal, .. }) if refusal == *expected => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(Trouble::wrong("it was accepted")),
    }
}

fn as_planned(outcome: Result<(), Trouble>) -> Result<(), Trouble> {
    match outcome {
        Err(Trouble::Failed(why)) if why == "as planned" => Ok(()),
        other => other,
    }
}
