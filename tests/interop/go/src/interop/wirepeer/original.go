package main

import (
	"bytes"
	"fmt"
	"io"

	"interop/peer"
	"interop/wire"
)

// What reads the way go-wirenet does: handlers and scripts of their own, as its
// reads cannot tell a stream's end from a message's.

const bulk = 16 << 20

// Sizes of writes that come in step with no window.
var oddWrites = []int{777, 1_000, 1_025, 4_093, 9_999}

var originals = map[string]wire.Handler{
	// drain notes how WriteTo returned.
	"drain": drain,
	// total is a sink that answers one message with its SHA-256.
	"total": func(s *wire.Stream) error {
		message, err := io.ReadAll(s.Original().Reader())
		if err != nil {
			return err
		}
		return sendDigest(s, message)
	},
	// The others are sources, and send one message of bulk.
	"read-from": func(s *wire.Stream) error { return sendBulk(s, sendByReadFrom) },
	"writer":    func(s *wire.Stream) error { return sendBulk(s, sendInOddWrites) },
}

func drain(s *wire.Stream) error {
	n, err := s.Original().WriteTo(io.Discard)
	peer.Say("note", "WriteTo returned after %d bytes: %v", n, err)
	return nil
}

// drainHalf has the other side's stream `half` drained here.
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
	w := s.Writer()
	for i := 0; len(message) > 0; i++ {
		n := oddWrites[i%len(oddWrites)]
		if n > len(message) {
			n = len(message)
		}
		if _, err := w.Write(message[:n]); err != nil {
			return err
		}
		message = message[n:]
	}
	return w.Close()
}

func sendBulk(s *wire.Stream, send func(*wire.Stream, []byte) error) error {
	return send(s, peer.Pattern(bulk, bulk))
}

// sendAndCompare sends bulk, and compares the digest that comes back.
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
		return fmt.Errorf("the digest of what arrived is %q, not %q", got, want)
	}
	return nil
}
