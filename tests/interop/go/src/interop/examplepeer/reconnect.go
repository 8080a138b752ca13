package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"interop/peer"
	"interop/wire"
)

const (
	lastHello = 20
	maxTries  = 1000
	maxFactor = 10 // the longest wait is this many times the first
)

// sayHello reads an index, and sends the greetings from there on. It returns without
// an end mark.
func sayHello(p *program) error {
	return p.serve(wire.Party{Handlers: map[string]wire.Handler{
		"sayHello": func(s *wire.Stream) error {
			var index uint32
			if err := binary.Read(s.Reader(), binary.LittleEndian, &index); err != nil {
				return err
			}
			peer.Report("note", "from %d", index)
			for ; index <= lastHello; index++ {
				if _, err := fmt.Fprintf(s.Writer(), "%d. Hello from server! ", index); err != nil {
					return nil // the client is gone, and will reconnect
				}
				time.Sleep(p.interval)
			}
			return nil
		},
	}}, nil)
}

// readHello reconnects until it has all greetings, and resumes where it stopped.
func readHello(p *program) error {
	var index uint32
	wait := p.wait
	for tries := 0; tries < maxTries; tries++ {
		session, err := p.join(wire.Party{})
		if err == nil {
			wait = p.wait
			peer.Report("note", "connected")
			err = resume(session, &index)
			_ = session.Close()
		}
		if err == nil {
			peer.Report("note", "data complete!")
			return nil
		}
		time.Sleep(wait)
		if wait *= 2; wait > maxFactor*p.wait {
			wait = maxFactor * p.wait
		}
	}
	return fmt.Errorf("not complete after %d tries", maxTries)
}

// resume reports the greetings from an index on, and increments the index.
func resume(session *wire.Session, index *uint32) error {
	s, err := session.Open("sayHello")
	if err != nil {
		return err
	}
	w := s.Writer()
	if err := binary.Write(w, binary.LittleEndian, *index); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	for greetings := bufio.NewReader(s.Reader()); *index <= lastHello; *index++ {
		greeting, err := greetings.ReadString('!')
		if err != nil {
			return err
		}
		peer.Report("note", "%s", strings.TrimSpace(greeting))
	}
	return s.Finish()
}
