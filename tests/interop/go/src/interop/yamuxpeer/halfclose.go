package main

import (
	"fmt"
	"io"

	"github.com/hashicorp/yamux"

	"interop/peer"
)

// A stream of hashicorp/yamux that was closed for writing can still be read,
// but only what has already come: with an empty buffer it says EOF at once. So
// a second stream, `control`, says when everything is there.
const (
	requestSize = 100_000
	answerSize  = 200_000 // less than a window: nobody reads while it comes
)

func openHalfClose(session *link) error {
	control, err := openSaying(session, 'c')
	if err != nil {
		return err
	}
	asked, err := session.OpenStream()
	if err != nil {
		return err
	}
	if err := sendAndClose(asked, 1, requestSize); err != nil {
		return err
	}
	if err := expectByte(control, 'a'); err != nil {
		return err
	}
	if err := expectRest(asked, 2, answerSize); err != nil {
		return fmt.Errorf("the answer after our half-close: %v", err)
	}
	return writeAfterTheirs(session, control)
}

// writeAfterTheirs is the other way round: the side that accepted closes its
// half first, and goes on reading.
func writeAfterTheirs(session *link, control *yamux.Stream) error {
	stream, err := openSaying(session, 'x')
	if err != nil {
		return err
	}
	if err := expectRest(stream, 0, 0); err != nil {
		return fmt.Errorf("the other side's half-close: %v", err)
	}
	if err := sendAndClose(stream, 3, answerSize); err != nil {
		return err
	}
	if _, err := control.Write([]byte{'d'}); err != nil {
		return err
	}
	return expectByte(control, 'o')
}

func answerHalfClose(session *link) error {
	control, err := acceptSaying(session, 'c')
	if err != nil {
		return err
	}
	asked, err := session.AcceptStream()
	if err != nil {
		return err
	}
	if err := expectRest(asked, 1, requestSize); err != nil {
		return fmt.Errorf("the request before a half-close: %v", err)
	}
	if err := sendAndClose(asked, 2, answerSize); err != nil {
		return err
	}
	if _, err := control.Write([]byte{'a'}); err != nil {
		return err
	}
	if err := readAfterOurs(session, control); err != nil {
		return err
	}
	return answerEchoes(session)
}

func readAfterOurs(session *link, control *yamux.Stream) error {
	stream, err := acceptSaying(session, 'x')
	if err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	if err := expectByte(control, 'd'); err != nil {
		return err
	}
	if err := expectRest(stream, 3, answerSize); err != nil {
		return fmt.Errorf("what came after our half-close: %v", err)
	}
	_, err = control.Write([]byte{'o'})
	return peer.UnlessOver(err)
}

func openSaying(session *link, what byte) (*yamux.Stream, error) {
	stream, err := session.OpenStream()
	if err != nil {
		return nil, err
	}
	_, err = stream.Write([]byte{what})
	return stream, err
}

func acceptSaying(session *link, what byte) (*yamux.Stream, error) {
	stream, err := session.AcceptStream()
	if err != nil {
		return nil, err
	}
	return stream, expectByte(stream, what)
}

func sendAndClose(stream *yamux.Stream, seed uint64, size int) error {
	if _, err := stream.Write(peer.Pattern(seed, size)); err != nil {
		return err
	}
	return stream.Close()
}

func expectByte(stream *yamux.Stream, want byte) error {
	var got [1]byte
	if _, err := io.ReadFull(stream, got[:]); err != nil {
		return fmt.Errorf("waiting for %q: %v", want, err)
	}
	if got[0] != want {
		return fmt.Errorf("%q came instead of %q", got[0], want)
	}
	return nil
}

func expectRest(stream *yamux.Stream, seed uint64, size int) error {
	got, err := io.ReadAll(stream)
	if err != nil {
		return err
	}
	return peer.Same(got, peer.Pattern(seed, size))
}
