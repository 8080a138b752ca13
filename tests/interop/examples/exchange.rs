use super::{go_joins, go_serves};
use crate::data::{QUOTED, assert_quote};
use crate::go_programs::with_go_programs;
use crate::program::{NONE, join, serve};

#[test]
fn our_server_prints_the_quotes_of_go_clients() {
    with_go_programs("exchange: we serve", |programs| {
        let (ours, addr) = serve("exchange", "server", NONE);
        let clients = QUOTED
            .map(|(role, _)| go_joins(programs, "exchange", role, &addr, &["-interval", "10ms"]));
        for (role, symbol) in QUOTED {
            for _ in 0..3 {
                assert_quote(&ours.line(&format!("{role}:quotes ")), symbol);
            }
        }
        ours.terminate();
        for client in clients {
            client.expect_success();
        }
    });
}

#[test]
fn the_go_server_prints_the_quotes_of_our_clients() {
    with_go_programs("exchange: they serve", |programs| {
        let (mut go, addr) = go_serves(programs, "exchange", &[]);
        let pace = ["--interval-ms", "10"];
        let clients = QUOTED.map(|(role, _)| join("exchange", role, &addr, pace));
        let mut counts = [0; 3];
        while counts.iter().any(|count| *count < 3) {
            let note = go.note();
            let (name, message) = note.split_once(' ').expect(&note);
            let source = QUOTED
                .iter()
                .position(|(role, _)| name == format!("{role}:quotes"));
            let source = source.expect(&note);
            // Undo Go's quoting.
            let quote = message.replace("\\\"", "\"");
            let quote = quote.strip_prefix('"').expect(&note);
            let quote = quote.strip_suffix("\\n\"").expect(&note);
            assert_quote(quote, QUOTED[source].1);
            counts[source] += 1;
        }
        for client in clients {
            client.terminate().assert_success();
        }
        go.stop();
    });
}
