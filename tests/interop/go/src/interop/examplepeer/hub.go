package main

import (
	"fmt"
	"time"

	"interop/peer"
	"interop/wire"
)

const (
	hubParts = 3
	hubLines = 10
)

// nodeA calls node B through the hub, and reports node B's messages.
func nodeA(p *program) error {
	session, err := p.join(wire.Party{ID: "nodeA", Handlers: map[string]wire.Handler{
		"nodeA:hello": noteMessages("nodeA:hello"),
	}})
	if err != nil {
		return err
	}
	if err := session.With("nodeB:hello", p.sendParts); err != nil {
		return err
	}
	peer.Report("note", "FIN")
	p.untilOver(session)
	return nil
}

// sendParts sends three messages, one line at a time.
func (p *program) sendParts(s *wire.Stream) error {
	for part := 0; part < hubParts; part++ {
		w := s.Writer()
		for line := 0; line < hubLines; line++ {
			_, err := fmt.Fprintf(w, "%d. part%d Hello from nodeA\n", part*hubLines+line, part+1)
			if err != nil {
				return err
			}
			time.Sleep(p.interval)
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	return nil
}

// nodeB calls node A back while node A calls it.
func nodeB(p *program) error {
	return p.stay(wire.Party{ID: "nodeB", Handlers: map[string]wire.Handler{
		"nodeB:hello": func(s *wire.Stream) error {
			err := s.Session.With("nodeA:hello", func(back *wire.Stream) error {
				return back.Send([]byte("GGGGG"))
			})
			if err != nil {
				return err
			}
			if err := noteMessages("nodeB:hello")(s); err != nil {
				return err
			}
			peer.Report("note", "FIN")
			return nil
		},
	}})
}
