use super::{go_joins, go_serves};
use crate::program::{NONE, join, serve};
use crate::stage::on_stage;

const CLIENTS: [(&str, &str); 3] = [("binance", "USD"), ("google", "BTC"), ("okcoin", "EUR")];

#[track_caller]
fn assert_quote(quote: &str, symbol: &str) {
    let begin = format!(r#"{{"Symbol":"{symbol}","Price":"#);
    let rest = quote.strip_prefix(&begin).expect(quote);
    let (price, rest) = rest.split_once(r#","Timestamp":"#).expect(quote);
    assert!(price.parse::<u32>().expect(quote) < 1000);
    let timestamp = rest.strip_suffix('}').expect(quote);
    assert!(timestamp.parse::<u64>().expect(quote) >= 1_700_000_000);
}

#[test]
fn our_server_prints_what_go_clients_quote() {
    on_stage("exchange: we serve", |stage| {
        let (ours, addr) = serve("exchange", "server", NONE);
        let clients = CLIENTS
            .map(|(role, _)| go_joins(stage, "exchange", role, &addr, &["-interval", "10ms"]));
        for (role, symbol) in CLIENTS {
            for _ in 0..3 {
                assert_quote(&ours.line(&format!("{role}:quotes ")), symbol);
            }
        }
        ours.terminate();
        for client in clients {
            client.ends_well();
        }
    });
}

#[test]
fn the_go_server_prints_what_our_clients_quote() {
    on_stage("exchange: they serve", |stage| {
        let (mut go, addr) = go_serves(stage, "exchange", &[]);
        let pace = ["--interval-ms", "10"];
        let clients = CLIENTS.map(|(role, _)| join("exchange", role, &addr, pace));
        let mut counts = [0; 3];
        while counts.iter().any(|count| *count < 3) {
            let note = go.note();
            let (name, message) = note.split_once(' ').expect(&note);
            let source = CLIENTS
                .iter()
                .position(|(role, _)| name == format!("{role}:quotes"));
            let source = source.expect(&note);
            // As Go quotes text.
            let quote = message.replace("\\\"", "\"");
            let quote = quote.strip_prefix('"').expect(&note);
            let quote = quote.strip_suffix("\\n\"").expect(&note);
            assert_quote(quote, CLIENTS[source].1);
            counts[source] += 1;
        }
        for client in clients {
            client.terminate().assert_success();
        }
        go.stops_well();
    });
}
