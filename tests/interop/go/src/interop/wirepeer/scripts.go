package main

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"interop/peer"
	"interop/wire"
)

var sizes = []int{0, 1, 1_023, 1_024, 1_025, 262_144, 8 << 20}

// scripts open streams of the peer once the session is open. The peer has handlers
// with the same names and behaviour as ours, and the handler `collect`, which records
// the bytes of a stream and how it ended.
var scripts = map[string]func(*wire.Session) error{
	// serve opens nothing.
	"serve": func(n *wire.Session) error { return nil },
	// hang-up ends the session as soon as it is open.
	"hang-up": func(n *wire.Session) error { return n.Close() },
	"echo": func(n *wire.Session) error {
		return n.With("echo", func(s *wire.Stream) error { return echoSizes(s, s.Message) })
	},
	"echo.reader": func(n *wire.Session) error {
		return n.With("echo", func(s *wire.Stream) error { return echoSizes(s, s.MessageByReader) })
	},
	"writer": func(n *wire.Session) error { return n.With("sink", sendLargeChunks) },
	"many": func(n *wire.Session) error {
		return peer.All(64, func(i int) error {
			return n.With("echo", func(s *wire.Stream) error {
				return echoMessage(s, peer.Pattern(uint64(i), 3_000*i+1), s.MessageByReader)
			})
		})
	},
	"call": func(n *wire.Session) error {
		return n.With("alpha", func(s *wire.Stream) error { return expectMessage(s, []byte("hello from alpha")) })
	},
	"eager": eager,
	"unknown": func(n *wire.Session) error {
		return expectRefusal(n, "nobody", wire.NotFound)
	},
	"forbidden": func(n *wire.Session) error {
		return expectRefusal(n, "forbidden", "forbidden is not for you")
	},
	"bare": func(n *wire.Session) error {
		return n.With("collect", handlers["bare"])
	},
	"cut": func(n *wire.Session) error {
		return n.With("collect", handlers["cut"])
	},
	"crowd":     crowd,
	"drain":     drainHalf,
	"bulk-up":   bulkUp,
	"bulk-down": bulkDown,
}

// crowd opens 1,000 streams concurrently, and sends a message on each that comes back.
// No stream ends before 512 are open, which is the most that are served concurrently.
func crowd(n *wire.Session) error {
	const streams, served = 1_000, 512
	var open atomic.Int32
	full := make(chan struct{})
	return peer.All(streams, func(i int) error {
		err := n.With("echo", func(s *wire.Stream) error {
			if open.Add(1) == served {
				close(full)
			}
			<-full
			return echoMessage(s, peer.Pattern(uint64(i), 100), s.MessageByReader)
		})
		if err != nil {
			return fmt.Errorf("stream %d of %d: %v", i+1, streams, err)
		}
		return nil
	})
}

func expectRefusal(n *wire.Session, name, text string) error {
	_, err := n.Open(name)
	var refused wire.Refusal
	if !errors.As(err, &refused) {
		return fmt.Errorf("an open of %q: %v", name, err)
	}
	if refused.Text != text {
		return fmt.Errorf("an open of %q was refused with %q, not %q", name, refused.Text, text)
	}
	// After a refusal, the session still works.
	return n.With("echo", func(s *wire.Stream) error { return echoMessage(s, []byte("on"), s.MessageByReader) })
}

func echoSizes(s *wire.Stream, read func() ([]byte, error)) error {
	for _, size := range sizes {
		if err := echoMessage(s, peer.Pattern(uint64(size), size), read); err != nil {
			return fmt.Errorf("echo of %d bytes: %v", size, err)
		}
	}
	return nil
}

func echoMessage(s *wire.Stream, message []byte, read func() ([]byte, error)) error {
	sent := make(chan error, 1)
	go func() { sent <- s.Send(message) }()
	got, err := read()
	if err != nil {
		return err
	}
	if err := <-sent; err != nil {
		return err
	}
	return peer.Same(got, message)
}

// sendLargeChunks sends messages with one chunk per write.
func sendLargeChunks(s *wire.Stream) error {
	for _, write := range []int{1, 100_000, 262_144, 1 << 20} {
		message := peer.Pattern(uint64(write), 3*write+1)
		if err := sendByWriter(s, message, write); err != nil {
			return err
		}
		if err := expectMessage(s, digest(message)); err != nil {
			return fmt.Errorf("the digest of chunks of %d bytes: %v", write, err)
		}
	}
	return nil
}

// eager sends a message together with the open, before the answer.
func eager(n *wire.Session) error {
	message := peer.Pattern(11, 5_000)
	s, err := n.OpenWith("echo", message)
	if err != nil {
		return err
	}
	if err := expectMessage(s, message); err != nil {
		return err
	}
	return s.Finish()
}

func expectMessage(s *wire.Stream, want []byte) error {
	got, err := s.MessageByReader()
	if err == io.EOF {
		return errors.New("the stream ended instead of a message")
	}
	if err != nil {
		return err
	}
	return peer.Same(got, want)
}
