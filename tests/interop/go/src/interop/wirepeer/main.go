// wirepeer is the peer for the tests of layers 2 and 3. It behaves like go-wirenet.
// Its handlers and scripts cover the edge cases of what go-wirenet can do.
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
	flag.StringVar(&o.addr, "addr", "127.0.0.1:0", "address to listen on or to dial")
	flag.StringVar(&o.id, "id", "go-peer", "identification")
	flag.StringVar(&o.token, "token", "secret", "token to send")
	flag.StringVar(&o.accept, "accept", "secret", "token to require of the peer")
	flag.StringVar(&o.script, "script", "serve", "script to run, which opens streams")
	flag.StringVar(&o.names, "names", "all", "handlers to offer: all, original or none")
	flag.StringVar(&o.refusal, "refusal", "", "expect that the session is refused with this text")
	flag.Parse()
	peer.Run(func() error { return run(*role, o) })
}

func run(role string, o options) error {
	script := scripts[o.script]
	if script == nil {
		return fmt.Errorf("there is no script %q", o.script)
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
	return runScript(session, script)
}

func greet(role string, s *wire.Session) {
	names := strings.Join(s.Names, ",")
	switch role {
	case "mount":
		peer.Report("note", "session id=%s token=%s streams=%s", s.Identification, s.Token, names)
	default:
		peer.Report("note", "session streams=%s", names)
	}
}

// runScript runs the script while our handlers serve. After the note "done", the
// peer ends the session. Only the script "hang-up" ends it itself.
func runScript(s *wire.Session, script func(*wire.Session) error) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	if err := script(s); err != nil {
		return err
	}
	if s.IsClosed() {
		return nil
	}
	peer.Report("note", "done")
	err := <-served
	// A handler may still have to report how its stream ended.
	s.AwaitHandlers()
	return err
}

// validator returns a validator that accepts one token, and that always refuses the
// stream "forbidden".
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
		return fmt.Errorf("expected a refusal of the session with %q, got: %v", text, err)
	}
	peer.Report("note", "code %d", refused.Code)
	return nil
}
