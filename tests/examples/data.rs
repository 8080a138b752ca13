//! The data that the examples send, in Rust and in Go.

/// The roles of the exchange, and the symbol that each of them quotes.
pub const QUOTED: [(&str, &str); 3] = [("binance", "USD"), ("google", "BTC"), ("okcoin", "EUR")];

/// Checks that a quote is an object like those of the Go program.
#[track_caller]
pub fn assert_quote(quote: &str, symbol: &str) {
    let begin = format!(r#"{{"Symbol":"{symbol}","Price":"#);
    let rest = quote.strip_prefix(&begin).expect(quote);
    let (price, rest) = rest.split_once(r#","Timestamp":"#).expect(quote);
    assert!(price.parse::<u32>().expect(quote) < 1000);
    let timestamp = rest.strip_suffix("}").expect(quote);
    assert!(timestamp.parse::<u64>().expect(quote) >= 1_700_000_000);
}

/// Returns the parts that node A sends through the hub.
pub fn parts() -> [String; 3] {
    [1, 2, 3].map(|part| {
        let lines = (part - 1) * 10..part * 10;
        lines
            .map(|line| format!("{line}. part{part} Hello from nodeA\n"))
            .collect()
    })
}
