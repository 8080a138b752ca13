package main

import (
	"errors"

	"interop/peer"
	"interop/wire"
)

const (
	rightToken = "token"
	wrongToken = "badtoken"
)

// checkTokens accepts the right token, and reads the streams of its clients.
func checkTokens(p *program) error {
	return p.serve(wire.Party{Validator: checkToken}, readAll)
}

func checkToken(name string, id, token []byte) error {
	if string(token) != rightToken {
		peer.Report("note", "%s %s refused", id, name)
		return errors.New("invalid token")
	}
	peer.Report("note", "%s %s accepted", id, name)
	return nil
}

// readAll reports every message of every stream that a session offers.
func readAll(session *wire.Session) error {
	for _, name := range session.Names {
		if err := session.With(name, noteMessages(name)); err != nil {
			return err
		}
	}
	return nil
}

func noteMessages(name string) func(*wire.Stream) error {
	return func(s *wire.Stream) error {
		return wire.EachMessage(s.Message, func(message []byte) error {
			peer.Report("note", "%s %q", name, message)
			return nil
		})
	}
}

// sendToken returns a client, which reports if it is refused.
func sendToken(node, token string) role {
	return func(p *program) error {
		err := p.stay(wire.Party{
			ID: node + ".svc", Token: token,
			Handlers: map[string]wire.Handler{
				node + ":read": func(s *wire.Stream) error { return s.Send([]byte(node + " some payload")) },
			},
		})
		var refused wire.Refusal
		if errors.As(err, &refused) {
			peer.Report("note", "%v", refused)
			return nil
		}
		return err
	}
}
