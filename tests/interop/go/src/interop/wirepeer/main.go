// wirepeer is a peer with go-wirenet's manners, for the tests of layers 2 and 3.
// Its handlers and its scripts go to the edges of what go-wirenet can do.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"strings"

	"interop/peer"
	"interop/wire"
)

type options struct {
	addr, id, token, accept, script, refusal, names string
}

func main() {
	var o options
	role := flag.String("role", "mount", "mount (listen) or join (dial)")
	flag.StringVar(&o.addr, "addr", "127.0.0.1:0", "where")
	flag.StringVar(&o.id, "id", "go-peer", "identification")
	flag.StringVar(&o.token, "token", "secret", "token that this side shows")
	flag.StringVar(&o.accept, "accept", "secret", "token that this side's validator wants")
	flag.StringVar(&o.script, "script", "serve", "what this side opens")
	flag.StringVar(&o.names, "names", "all", "which handlers this side has: all, original or none")
	flag.StringVar(&o.refusal, "refusal", "", "the session is to be refused with this text")
	flag.Parse()
	peer.Run(func() error { return run(*role, o) })
}

func run(role string, o options) error {
	script := scripts[o.script]
	if script == nil {
		return fmt.Errorf("no script %q", o.script)
	}
	side := map[string]string{"mount": "listen", "join": "dial"}[role]
	conn, err := peer.Connect(side, o.addr)
	if err != nil {
		return err
	}
	offered := map[string]map[string]wire.Handler{"all": handlers, "original": originals}[o.names]
	party := wire.Party{ID: o.id, Token: o.token, Validator: validator(o.accept), Handlers: offered}
	open := map[string]func(net.Conn) (*wire.Session, error){"mount": party.Mount, "join": party.Join}[role]
	session, err := open(conn)
	if o.refusal != "" {
		return expectRefused(err, o.refusal)
	}
	if err != nil {
		return err
	}
	defer session.Close()
	greet(role, session)
	return play(session, script)
}

func greet(role string, s *wire.Session) {
	names := strings.Join(s.Names, ",")
	switch role {
	case "mount":
		peer.Say("note", "session id=%s token=%s streams=%s", s.Identification, s.Token, names)
	default:
		peer.Say("note", "session streams=%s", names)
	}
}

// play runs the script while this side's handlers serve. The other side ends
// the session, after the note; only the script "hang up" does it here.
func play(s *wire.Session, script func(*wire.Session) error) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	if err := script(s); err != nil {
		return err
	}
	if s.IsClosed() {
		return nil
	}
	peer.Say("note", "done")
	return <-served
}

// validator refuses other tokens than one, and the stream "forbidden" to all.
func validator(accept string) func(string, []byte, []byte) error {
	return func(name string, id, token []byte) error {
		if string(token) != accept {
			return errors.New("bad token")
		}
		if name == "forbidden" {
			return errors.New("forbidden is not for you")
		}
		return nil
	}
}

func expectRefused(err error, text string) error {
	var refused wire.Refusal
	if !errors.As(err, &refused) || refused.Text != text {
		return fmt.Errorf("the session was to be refused with %q, but: %v", text, err)
	}
	peer.Say("note", "code %d", refused.Code)
	return nil
}
