package main

import (
	"fmt"

	"github.com/hashicorp/yamux"
)

// openAndBeReset opens a stream that the other side resets once a byte went
// each way; the connection lives on. It says that it has read what came before
// the reset, because a reset throws away what was not.
func openAndBeReset(session *link) error {
	stream, err := openSaying(session, 'x')
	if err != nil {
		return err
	}
	if err := expectByte(stream, 'y'); err != nil {
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
	stream, err := acceptSaying(session, 'x')
	if err != nil {
		return err
	}
	if _, err := stream.Write([]byte{'y'}); err != nil {
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

// answerWithShortBacklog leaves a first stream waiting, so that yamux resets
// the second, and then serves the first.
func answerWithShortBacklog(session *link) error {
	control, err := acceptSaying(session, 'c')
	if err != nil {
		return err
	}
	if _, err := control.Write([]byte{'r'}); err != nil {
		return err
	}
	if err := expectByte(control, 's'); err != nil {
		return err
	}
	return answerEchoes(session)
}
