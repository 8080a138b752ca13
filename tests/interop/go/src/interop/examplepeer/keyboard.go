package main

import (
	"net"

	"interop/peer"
	"interop/wire"
)

// typeCommands sends each line of its input to every client, and reports the message
// that it gets back.
func typeCommands(p *program) error {
	listener, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	s := newServer(wire.Party{}, func(session *wire.Session) error {
		peer.Report("note", "joined: %s %s", session.Identification, session.Token)
		return nil
	})
	return s.run(listener, p.lines, func(line string) {
		for _, session := range s.all() {
			if err := execute(session, line); err != nil {
				peer.Report("violation", "%q: %v", line, err)
			}
		}
	})
}

func execute(session *wire.Session, line string) error {
	return session.With("shell", func(s *wire.Stream) error {
		if err := s.Send([]byte(line)); err != nil {
			return err
		}
		message, err := s.Message()
		if err != nil {
			return err
		}
		peer.Report("note", "%s %q", session.Identification, message)
		return nil
	})
}

// answerCommands answers without reading the command, and returns without an end mark.
func answerCommands(p *program) error {
	return p.stay(wire.Party{ID: p.id, Token: p.token, Handlers: map[string]wire.Handler{
		"shell": func(s *wire.Stream) error { return s.WriteChunk([]byte("answer of " + p.id + "\n")) },
	}})
}
