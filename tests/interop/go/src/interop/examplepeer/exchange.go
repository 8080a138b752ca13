package main

import (
	"math/rand"
	"time"

	"interop/peer"
	"interop/wire"
)

var quoteNames = map[string]bool{"binance:quotes": true, "google:quotes": true, "okcoin:quotes": true}

type quotation struct {
	Symbol    string
	Price     int
	Timestamp int64
}

// readQuotes reports the quotes of all its clients, until it is stopped or they end.
func readQuotes(p *program) error {
	return p.serve(wire.Party{}, func(session *wire.Session) error {
		return peer.All(len(session.Names), func(i int) error {
			name := session.Names[i]
			if !quoteNames[name] {
				return nil
			}
			return session.With(name, noteMessages(name))
		})
	})
}

// quote returns a client that sends quotes for as long as they are read.
func quote(name, symbol string) role {
	return func(p *program) error {
		return p.stay(wire.Party{Handlers: map[string]wire.Handler{
			name: func(s *wire.Stream) error {
				for {
					time.Sleep(p.interval)
					// A failed write means that the server has closed the stream.
					if sendJSON(s, quotation{symbol, rand.Intn(1000), time.Now().Unix()}) != nil {
						return nil
					}
				}
			},
		}})
	}
}
