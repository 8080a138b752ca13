package main

import (
	"bytes"
	"fmt"
	"io"

	"interop/peer"
	"interop/wire"
)

// Handlers and scripts that read the way go-wirenet does. They are separate from the
// others because go-wirenet's reads cannot tell the end of a stream from the end of a
// message.

const bulk = 16 << 20

// oddWrites are sizes of writes that never line up with a window.
var oddWrites = []int{777, 1_000, 1_025, 4_093, 9_999}

var originals = map[string]wire.Handler{
	// drain reports how WriteTo returned.
	"drain": drain,
	// total is a sink that answers one message with its SHA-256.
	"total": func(s *wire.Stream) error {
		message, err := io.ReadAll(s.Original().Reader())
		if err != nil {
			return err
		}
		return sendDigest(s, message)
	},
	// The others are sources, which send one message of bulk bytes.
	"read-from": func(s *wire.Stream) error { return sendBulk(s, sendByReadFrom) },
	"writer":    func(s *wire.Stream) error { return sendBulk(s, sendInOddWrites) },
}

func drain(s *wire.Stream) error {
	n, err := s.Original().WriteTo(io.Discard)
	peer.Report("note", "WriteTo returned after %d bytes: %v", n, err)
	return nil
}

// drainHalf opens the peer's stream `half` and drains it.
func drainHalf(n *wire.Session) error {
	s, err := n.Open("half")
	if err != nil {
		return err
	}
	defer s.Close()
	return drain(s)
}

func bulkUp(n *wire.Session) error {
	for _, send := range []func(*wire.Stream, []byte) error{sendByReadFrom, sendInOddWrites} {
		if err := n.With("total", func(s *wire.Stream) error { return sendAndCompare(s, send) }); err != nil {
			return err
		}
	}
	return nil
}

func bulkDown(n *wire.Session) error {
	for _, name := range []string{"read-from", "writer"} {
		err := n.With(name, func(s *wire.Stream) error {
			got, err := io.ReadAll(s.Original().Reader())
			if err != nil {
				return err
			}
			return peer.Same(got, peer.Pattern(bulk, bulk))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func sendByReadFrom(s *wire.Stream, message []byte) error { return s.Send(message) }

func sendInOddWrites(s *wire.Stream, message []byte) error {
	return sendByWriter(s, message, oddWrites...)
}

func sendBulk(s *wire.Stream, send func(*wire.Stream, []byte) error) error {
	return send(s, peer.Pattern(bulk, bulk))
}

// sendAndCompare sends bulk bytes, and checks the digest that the peer returns.
func sendAndCompare(s *wire.Stream, send func(*wire.Stream, []byte) error) error {
	message := peer.Pattern(bulk, bulk)
	if err := send(s, message); err != nil {
		return err
	}
	got, err := io.ReadAll(s.Original().Reader())
	if err != nil {
		return err
	}
	if want := digest(message); !bytes.Equal(got, want) {
		return fmt.Errorf("the digest of the received data is %q, not %q", got, want)
	}
	return nil
}
