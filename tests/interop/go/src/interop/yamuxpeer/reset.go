package main

import (
	"fmt"

	"github.com/hashicorp/yamux"
)

// openAndBeReset opens a stream that the peer resets once a byte was sent in each
// direction. The connection stays open. It confirms that it has read the data
// before the reset, because a reset discards unread data.
func openAndBeReset(session *link) error {
	stream, err := openAnswered(session, 'x', 'y')
	if err != nil {
		return err
	}
	if _, err := stream.Write([]byte{'r'}); err != nil {
		return err
	}
	if err := expectReset(stream); err != nil {
		return err
	}
	return echoOnce(session, 5, 100_000)
}

func answerAndBeReset(session *link) error {
	stream, err := acceptAndAnswer(session, 'x', 'y')
	if err != nil {
		return err
	}
	if err := expectReset(stream); err != nil {
		return err
	}
	return answerEchoes(session)
}

func expectReset(stream *yamux.Stream) error {
	var buf [1]byte
	if n, err := stream.Read(buf[:]); err != yamux.ErrConnectionReset {
		return fmt.Errorf("read on a reset stream: %d bytes, %v", n, err)
	}
	if _, err := stream.Write([]byte{'z'}); err != yamux.ErrConnectionReset {
		return fmt.Errorf("write on a reset stream: %v", err)
	}
	return nil
}

// answerWithShortBacklog keeps a first stream waiting, so that yamux resets the
// second. Then it serves the first.
func answerWithShortBacklog(session *link) error {
	control, err := acceptAndAnswer(session, 'c', 'r')
	if err != nil {
		return err
	}
	if err := expectByte(control, 's'); err != nil {
		return err
	}
	return answerEchoes(session)
}
