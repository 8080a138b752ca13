package main

import (
	"net"

	"interop/peer"
	"interop/wire"
)

// join opens a session, and serves its handlers in the background.
func (p *program) join(party wire.Party) (*wire.Session, error) {
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		return nil, err
	}
	session, err := party.Join(conn)
	if err != nil {
		return nil, err
	}
	go serve(session)
	return session, nil
}

func serve(session *wire.Session) {
	if err := session.Serve(); err != nil {
		peer.Report("violation", "%v", err)
	}
}

// stay opens a session, and serves its handlers until the test sends "stop" or the
// peer closes the session.
func (p *program) stay(party wire.Party) error {
	session, err := p.join(party)
	if err != nil {
		return err
	}
	peer.Report("note", "connected")
	p.untilOver(session)
	return nil
}

// untilOver waits until the test sends "stop" or the peer closes the session.
func (p *program) untilOver(session *wire.Session) {
	select {
	case <-p.lines:
	case <-session.Over():
	}
	_ = session.Close()
}

// once opens a stream, calls use with it, and closes the session.
func once(session *wire.Session, name string, use func(*wire.Stream) error) error {
	if err := session.With(name, use); err != nil {
		return err
	}
	return session.Close()
}
