package main

import (
	"fmt"
	"io"

	"github.com/hashicorp/yamux"

	"interop/peer"
)

func threePings(session *link) error {
	for i := 0; i < 3; i++ {
		if _, err := session.Ping(); err != nil {
			return fmt.Errorf("ping %d: %v", i+1, err)
		}
	}
	return nil
}

func openPing(session *link) error {
	if err := threePings(session); err != nil {
		return err
	}
	// Its answer means that the other side has had its own pings answered.
	return echoOnce(session, 1, 64)
}

func answerPing(session *link) error {
	if err := threePings(session); err != nil {
		return err
	}
	return answerEchoes(session)
}

// openGoAway holds a stream while the other side says go away.
func openGoAway(session *link) error {
	stream, err := openSaying(session, 'g')
	if err != nil {
		return err
	}
	if err := expectByte(stream, 'a'); err != nil {
		return err
	}
	if _, err := session.OpenStream(); err != yamux.ErrRemoteGoAway {
		return fmt.Errorf("an open after go away: %v", err)
	}
	return echo(session, stream, 7, 300_000)
}

func answerGoAway(session *link) error {
	stream, err := acceptSaying(session, 'g')
	if err != nil {
		return err
	}
	if err := session.GoAway(); err != nil {
		return err
	}
	if _, err := stream.Write([]byte{'a'}); err != nil {
		return err
	}
	sendBack(stream)
	return answerEchoes(session)
}

// The four below end a connection that still has a stream open, on which a
// byte went each way.
func openAndClose(session *link) error {
	stream, err := openSaying(session, 'x')
	if err != nil {
		return err
	}
	if err := expectByte(stream, 'y'); err != nil {
		return err
	}
	return session.Close()
}

func answerUntilClosed(session *link) error {
	stream, err := acceptSaying(session, 'x')
	if err != nil {
		return err
	}
	_, err = stream.Write([]byte{'y'})
	if err := peer.UnlessOver(err); err != nil {
		return err
	}
	return untilClosed(session)
}

func openUntilClosed(session *link) error {
	_, err := openSaying(session, 'x')
	if err := peer.UnlessOver(err); err != nil {
		return err
	}
	return untilClosed(session)
}

func answerAndClose(session *link) error {
	if _, err := acceptSaying(session, 'x'); err != nil {
		return err
	}
	return session.Close()
}

func untilClosed(session *link) error {
	if _, err := session.AcceptStream(); err != io.EOF {
		return fmt.Errorf("a close ends the connection in good order, but: %v", err)
	}
	return nil
}
