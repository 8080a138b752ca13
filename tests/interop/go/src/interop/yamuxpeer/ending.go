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
	// The peer echoes this only after its own pings have been answered.
	return echoOnce(session, 1, 64)
}

func answerPing(session *link) error {
	if err := threePings(session); err != nil {
		return err
	}
	return answerEchoes(session)
}

// openGoAway keeps a stream open while the peer sends go away.
func openGoAway(session *link) error {
	stream, err := openAnswered(session, 'g', 'a')
	if err != nil {
		return err
	}
	if _, err := session.OpenStream(); err != yamux.ErrRemoteGoAway {
		return fmt.Errorf("an open after go away: %v", err)
	}
	return echo(session, stream, 7, 300_000)
}

func answerGoAway(session *link) error {
	stream, err := acceptByte(session, 'g')
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

// The next four functions end a connection that still has an open stream.

func openAndClose(session *link) error {
	if _, err := openAnswered(session, 'x', 'y'); err != nil {
		return err
	}
	return session.Close()
}

func answerUntilClosed(session *link) error {
	_, err := acceptAndAnswer(session, 'x', 'y')
	if err := peer.IgnoreShutdown(err); err != nil {
		return err
	}
	return untilClosed(session)
}

func openUntilClosed(session *link) error {
	_, err := openByte(session, 'x')
	if err := peer.IgnoreShutdown(err); err != nil {
		return err
	}
	return untilClosed(session)
}

func answerAndClose(session *link) error {
	if _, err := acceptByte(session, 'x'); err != nil {
		return err
	}
	return session.Close()
}

func untilClosed(session *link) error {
	if _, err := session.AcceptStream(); err != io.EOF {
		return fmt.Errorf("the connection did not end gracefully: %v", err)
	}
	return nil
}
