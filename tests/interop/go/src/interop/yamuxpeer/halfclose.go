package main

import (
	"fmt"
	"io"

	"github.com/hashicorp/yamux"

	"interop/peer"
)

// Once hashicorp/yamux has closed a stream for writing, the stream yields only the
// data that has already arrived, and then EOF. So a second stream, `control`,
// announces that all data has arrived.
const (
	requestSize = 100_000
	answerSize  = 200_000 // less than a window: it is not read while it arrives
)

func openHalfClose(session *link) error {
	control, err := openByte(session, 'c')
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

// writeAfterTheirs tests the reverse: the peer half-closes the stream first, and
// continues to read.
func writeAfterTheirs(session *link, control *yamux.Stream) error {
	stream, err := openByte(session, 'x')
	if err != nil {
		return err
	}
	if err := expectRest(stream, 0, 0); err != nil {
		return fmt.Errorf("the peer's half-close: %v", err)
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
	control, err := acceptByte(session, 'c')
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
	stream, err := acceptByte(session, 'x')
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
		return fmt.Errorf("the data after our half-close: %v", err)
	}
	_, err = control.Write([]byte{'o'})
	return peer.IgnoreShutdown(err)
}

// openByte opens a stream and sends a byte on it.
func openByte(session *link, what byte) (*yamux.Stream, error) {
	stream, err := session.OpenStream()
	if err != nil {
		return nil, err
	}
	_, err = stream.Write([]byte{what})
	return stream, err
}

// openAnswered opens a stream, sends a byte on it, and expects an answer.
func openAnswered(session *link, what, answer byte) (*yamux.Stream, error) {
	stream, err := openByte(session, what)
	if err != nil {
		return nil, err
	}
	return stream, expectByte(stream, answer)
}

// acceptByte accepts a stream and expects a byte on it.
func acceptByte(session *link, want byte) (*yamux.Stream, error) {
	stream, err := session.AcceptStream()
	if err != nil {
		return nil, err
	}
	return stream, expectByte(stream, want)
}

// acceptAndAnswer accepts a stream, expects a byte on it, and answers with another.
func acceptAndAnswer(session *link, want, answer byte) (*yamux.Stream, error) {
	stream, err := acceptByte(session, want)
	if err != nil {
		return nil, err
	}
	_, err = stream.Write([]byte{answer})
	return stream, err
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
		return fmt.Errorf("received %q instead of %q", got[0], want)
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
