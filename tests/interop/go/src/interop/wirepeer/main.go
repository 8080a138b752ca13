// wirepeer speaks layers 2 and 3 over hashicorp/yamux the way go-wirenet does,
// and fails with a clear word where go-wirenet would panic, hang or mix up
// bytes.
package main

import (
	"errors"
	"flag"
	"fmt"

	"interop/audit"
	"interop/peer"
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
	flag.StringVar(&o.names, "names", "all", "which handlers this side has: all or none")
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
	audited := audit.New(conn, side, audit.Wire)
	session, err := peer.Session(audited, side, 256)
	if err != nil {
		return err
	}
	defer session.Close()
	n := &node{
		id: o.id, token: o.token, validator: validator(o.accept),
		handlers: handlers, session: session, audit: audited,
	}
	if o.names == "none" {
		n.handlers = nil
	}
	open := n.mount
	if role == "join" {
		open = n.join
	}
	err = open()
	if o.refusal != "" {
		return expectRefused(err, o.refusal)
	}
	if err != nil {
		return err
	}
	return play(n, script)
}

// play runs the script while this side's handlers serve. The other side ends
// the session, after the note; only the script "hang up" does it here.
func play(n *node, script func(*node) error) error {
	served := make(chan error, 1)
	go func() { served <- n.serve() }()
	if err := script(n); err != nil {
		return err
	}
	if n.session.IsClosed() {
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
	var refused refusal
	if !errors.As(err, &refused) || refused.text != text {
		return fmt.Errorf("the session was to be refused with %q, but: %v", text, err)
	}
	return nil
}
