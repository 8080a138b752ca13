//! Tests that wirenet and libp2p react alike to the same frames, except for the
//! differences in the table of allowances.
//!
//! The environment variable `PROPTEST_CASES` sets the number of random scripts. The
//! default is 10,000.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use wirenet_interop_libp2p::differential::allowances::ALLOWANCES;
use wirenet_interop_libp2p::differential::comparison::run_script;
use wirenet_interop_libp2p::differential::script::{Act, Behaviour, Role, Script, Target};
use wirenet_interop_libp2p::differential::{all_scripts, random_scripts};
use wirenet_interop_libp2p::frames::{DATA, FIN, GO_AWAY, SYN, WINDOW_UPDATE};

#[test]
fn every_frame_in_every_state_has_the_same_outcome() {
    let mut used = BTreeMap::new();
    let (mut count, mut comparisons) = (0, 0);
    for script in all_scripts::scripts() {
        let outcome =
            run_script(&script).unwrap_or_else(|failure| panic!("{failure:?}\n{script:?}"));
        count += 1;
        comparisons += outcome.comparisons;
        for name in outcome.allowed {
            *used.entry(name).or_insert(0) += 1;
        }
    }
    println!("{count} scripts, {comparisons} comparisons; allowances used: {used:#?}");
    let names = ALLOWANCES.iter().map(|allowance| allowance.name);
    let idle: Vec<_> = names.filter(|name| !used.contains_key(name)).collect();
    assert!(
        idle.is_empty(),
        "allowances that are no longer needed: {idle:#?}"
    );
}

/// Random scripts have found bugs in wirenet. These are the shortest that did.
#[test]
fn scripts_that_once_found_bugs_pass() {
    let peers = Target::Peers(0);
    let overflow = Act::frame(WINDOW_UPDATE, 0, peers, u32::MAX);
    let whole = Act::frame(DATA, SYN | FIN, peers, 3);
    let failing = Act::frame(GO_AWAY, 0, Target::Session, 2);
    let late = Act::syn(Target::Peers(1));
    for acts in [&[Act::syn(peers), overflow][..], &[whole, failing, late]] {
        for role in [Role::Client, Role::Server] {
            let script = Script::new(role, Behaviour::Echo, acts).held_from(0);
            run_script(&script).unwrap_or_else(|failure| panic!("{failure:?}"));
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
    fn any_script_has_the_same_outcome(script in random_scripts::scripts(16)) {
        if let Err(failure) = run_script(&script) {
            return Err(TestCaseError::fail(format!("{failure:?}")));
        }
    }
}
