//! Formats the results as JSON. The few shapes that occur do not justify a
//! dependency.

use std::fmt::Write;

use crate::plan::{Against, Limit, name_of};
use crate::results::{Results, Summary, Verdict, measured};

/// The conditions of a run, which are needed to interpret its figures.
pub struct Circumstances {
    pub cores: usize,
    pub system: String,
    pub processor: String,
    pub quick: bool,
    pub steady_memcpy: bool,
    /// The load average when the run began.
    pub load: f64,
    pub seconds: f64,
}

pub fn document(results: &Results, circumstances: &Circumstances) -> String {
    let verdicts = results.verdicts();
    object(&[
        ("circumstances", circumstances_json(circumstances)),
        ("rounds", results.rounds().to_string()),
        ("figures", array(figures(results))),
        ("bars", array(verdicts.iter().map(verdict_json))),
        (
            "notes",
            array(results.notes.iter().map(|note| string(note))),
        ),
    ]) + "\n"
}

fn circumstances_json(circumstances: &Circumstances) -> String {
    object(&[
        ("cores", circumstances.cores.to_string()),
        ("system", string(&circumstances.system)),
        ("processor", string(&circumstances.processor)),
        ("quick", circumstances.quick.to_string()),
        ("steady_memcpy", circumstances.steady_memcpy.to_string()),
        ("load", number(circumstances.load)),
        ("seconds", number(circumstances.seconds)),
    ])
}

fn figures(results: &Results) -> Vec<String> {
    let mut figures = Vec::new();
    for (workload, peers) in results.workloads() {
        for metric in measured(results, workload, &peers) {
            for peer in &peers {
                let values = results.values(workload, metric.key, *peer);
                let values = values.iter().map(|value| value.map_or_else(null, number));
                figures.push(object(&[
                    ("workload", string(&name_of(&workload))),
                    ("metric", string(metric.key)),
                    ("unit", string(metric.unit)),
                    ("peer", string(&name_of(peer))),
                    (
                        "summary",
                        summary(results.summary(workload, metric.key, *peer)),
                    ),
                    ("values", array(values)),
                ]));
            }
        }
    }
    figures
}

fn verdict_json(verdict: &Verdict) -> String {
    let bar = &verdict.bar;
    let against = match bar.against {
        Against::Peer(peer) => string(&name_of(&peer)),
        Against::BetterCrate => string("better-crate"),
        Against::Nothing => null(),
    };
    let (relation, limit) = match bar.limit {
        Limit::AtLeast(limit) => (">=", limit),
        Limit::AtMost(limit) => ("<=", limit),
        Limit::Below(limit) => ("<", limit),
    };
    object(&[
        ("workload", string(&name_of(&bar.workload))),
        ("metric", string(bar.key)),
        ("peer", string(&name_of(&bar.peer))),
        ("against", against),
        ("relation", string(relation)),
        ("limit", number(limit)),
        ("reached", summary(verdict.reached)),
        (
            "met",
            verdict.met().map_or_else(null, |met| met.to_string()),
        ),
    ])
}

fn summary(summary: Option<Summary>) -> String {
    summary.map_or_else(null, |summary| {
        object(&[
            ("median", number(summary.median)),
            ("min", number(summary.min)),
            ("max", number(summary.max)),
        ])
    })
}

fn object(members: &[(&str, String)]) -> String {
    let members = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", string(name)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn array(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    format!("[{}]", items.join(",\n"))
}

fn null() -> String {
    String::from("null")
}

/// Formats a number. JSON has no infinities and no NaN: they become `null`.
fn number(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else {
        null()
    }
}

fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
