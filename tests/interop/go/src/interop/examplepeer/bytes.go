package main

import (
	"crypto/rand"
	"crypto/sha256"
	"time"

	"interop/peer"
	"interop/wire"
)

const bytesPace = 500 * time.Millisecond

// serveBytes sends a mebibyte of random bytes.
func serveBytes(p *program) error {
	payload := make([]byte, 1<<20)
	if _, err := rand.Read(payload); err != nil {
		return err
	}
	return p.serve(wire.Party{Handlers: map[string]wire.Handler{
		"bytes": func(s *wire.Stream) error { return s.Send(payload) },
	}}, nil)
}

// readBytes reads the bytes in many concurrent sessions.
func readBytes(p *program) error {
	return peer.All(p.sessions, func(int) error {
		session, err := p.join(wire.Party{})
		if err != nil {
			return err
		}
		for round := 0; round < p.rounds; round++ {
			if round > 0 {
				time.Sleep(bytesPace)
			}
			if err := session.With("bytes", noteDigest); err != nil {
				return err
			}
		}
		return session.Close()
	})
}

func noteDigest(s *wire.Stream) error {
	digest := sha256.New()
	n, err := s.WriteTo(digest)
	if err == nil {
		peer.Report("note", "%d bytes %x", n, digest.Sum(nil))
	}
	return err
}
