//! wirenet and libp2p do the same about the same frames, but for what the
//! table of allowances says.
//!
//! `PROPTEST_CASES` has more scripts played by chance than the 10,000 that are
//! otherwise.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use wirenet_interop_libp2p::differential::allowances::ALLOWANCES;
use wirenet_interop_libp2p::differential::duel::duel;
use wirenet_interop_libp2p::differential::script::{Act, Manner, Role, Script, Target};
use wirenet_interop_libp2p::differential::{exhaustive, generate};
use wirenet_interop_libp2p::frames::{DATA, FIN, GO_AWAY, SYN, WINDOW_UPDATE};

#[test]
fn every_frame_in_every_state_has_the_same_outcome() {
    let mut used = BTreeMap::new();
    let (mut count, mut moments) = (0, 0);
    for script in exhaustive::scripts() {
        let played = duel(&script).unwrap_or_else(|failure| panic!("{failure:?}\n{script:?}"));
        count += 1;
        moments += played.moments;
        for name in played.allowed {
            *used.entry(name).or_insert(0) += 1;
        }
    }
    println!("{count} scripts, compared {moments} times; allowances taken: {used:#?}");
    let names = ALLOWANCES.iter().map(|allowance| allowance.name);
    let idle: Vec<_> = names.filter(|name| !used.contains_key(name)).collect();
    assert!(
        idle.is_empty(),
        "differences that are there no more: {idle:#?}"
    );
}

/// What scripts by chance have found in wirenet, at its shortest.
#[test]
fn what_once_showed_a_fault_shows_none() {
    let peers = Target::Peers(0);
    let overflow = Act::frame(WINDOW_UPDATE, 0, peers, u32::MAX);
    let whole = Act::frame(DATA, SYN | FIN, peers, 3);
    let failing = Act::frame(GO_AWAY, 0, Target::Session, 2);
    let late = Act::syn(Target::Peers(1));
    for acts in [&[Act::syn(peers), overflow][..], &[whole, failing, late]] {
        for role in [Role::Client, Role::Server] {
            let script = Script::new(role, Manner::Echo, acts).held_from(0);
            duel(&script).unwrap_or_else(|failure| panic!("{failure:?}"));
        }
    }
}

fn config() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: if asked { default.cases } else { 10_000 },
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_script_has_the_same_outcome(script in generate::scripts(16)) {
        if let Err(failure) = duel(&script) {
            return Err(TestCaseError::fail(format!("{failure:?}")));
        }
    }
}
