package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/yamux"

	"interop/audit"
	"interop/peer"
)

// node is one side of a session.
type node struct {
	id, token string
	// validator answers for a stream's name, identification and token.
	validator func(name string, id, token []byte) error
	handlers  map[string]handler
	session   *yamux.Session
	audit     *audit.Conn
	// them is who the other side says it is.
	them hello
}

type handler func(*stream) error

func (n *node) names() []string {
	// The order matters to the test, which compares it.
	names := []string{}
	for _, name := range handlerOrder {
		if n.handlers[name] != nil {
			names = append(names, name)
		}
	}
	return names
}

// join opens the session, as the side that dialled.
func (n *node) join() error {
	conn, err := n.session.OpenStream()
	if err != nil {
		return err
	}
	defer conn.Close()
	sid := make([]byte, 16)
	if _, err := rand.Read(sid); err != nil {
		return err
	}
	sid[6], sid[8] = sid[6]&0x0f|0x40, sid[8]&0x3f|0x80 // UUID, version 4
	request := hello{sid: sid, token: []byte(n.token), identification: []byte(n.id), streams: n.names()}
	err = (frame{frameHello, openSession, request.encode()}).writeTo(conn)
	if err := peer.UnlessOver(err); err != nil {
		return err
	}
	answer, err := n.confirmation(conn, sid)
	if err != nil {
		return err
	}
	if answer.err != "" {
		peer.Say("note", "code %d", answer.code)
		return refusal{answer.err}
	}
	peer.Say("note", "session streams=%s", strings.Join(answer.streams, ","))
	return nil
}

func (n *node) confirmation(conn io.Reader, sid []byte) (confirm, error) {
	answer, err := readFrame(conn)
	if err != nil {
		return confirm{}, fmt.Errorf("the answer to open session: %v", err)
	}
	if answer.kind != frameConfirm || answer.command != confirmSession {
		return confirm{}, fmt.Errorf("open session answered with %#x %q", answer.kind, answer.command)
	}
	message, err := decodeConfirm(answer.payload)
	if err == nil && string(message.sid) != string(sid) {
		err = errors.New("the session is confirmed under another id")
	}
	return message, err
}

// mount answers the opening of the session, as the side that accepted.
func (n *node) mount() error {
	conn, err := n.session.AcceptStream()
	if err != nil {
		return err
	}
	defer conn.Close()
	request, err := readFrame(conn)
	if err != nil {
		return fmt.Errorf("open session: %v", err)
	}
	if request.kind != frameHello || request.command != openSession {
		return fmt.Errorf("a session opened with %#x %q", request.kind, request.command)
	}
	n.them, err = decodeHello(request.payload)
	if err != nil {
		return err
	}
	if len(n.them.sid) != 16 {
		return fmt.Errorf("a session id of %d bytes", len(n.them.sid))
	}
	peer.Say("note", "session id=%s token=%s streams=%s",
		n.them.identification, n.them.token, strings.Join(n.them.streams, ","))
	answer := confirm{sid: n.them.sid, streams: n.names()}
	refused := n.validator(confirmSession, n.them.identification, n.them.token)
	if refused != nil {
		answer.err = refused.Error()
	}
	return peer.UnlessOver((frame{frameConfirm, confirmSession, answer.encode()}).writeTo(conn))
}

// serve answers opens until the other side closes the connection.
func (n *node) serve() error {
	for {
		conn, err := n.session.AcceptStream()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the connection did not end with a close: %v", err)
		}
		go n.handle(conn)
	}
}

func (n *node) handle(conn *yamux.Stream) {
	defer conn.Close()
	request, err := readFrame(conn)
	if err != nil || request.kind != frameOpen {
		peer.Say("violation", "a stream opened with %#x: %v", request.kind, err)
		return
	}
	name := request.command
	run := n.handlers[name]
	refused := n.validator(name, n.them.identification, request.payload)
	if refused == nil && run == nil {
		refused = errors.New(notFound)
	}
	if refused != nil {
		_ = (frame{frameError, name, []byte(refused.Error())}).writeTo(conn)
		return
	}
	if err := (frame{frameAccept, name, nil}).writeTo(conn); err != nil {
		peer.Say("violation", "stream %q: %v", name, err)
		return
	}
	if err := peer.UnlessOver(run(n.stream(conn))); err != nil {
		peer.Say("violation", "handler of %q: %v", name, err)
	}
}

// open opens a named stream and waits for the answer.
func (n *node) open(name string) (*stream, error) {
	conn, err := n.session.OpenStream()
	if err != nil {
		return nil, err
	}
	if err := (frame{frameOpen, name, []byte(n.token)}).writeTo(conn); err != nil {
		return nil, err
	}
	if err := expectAccept(conn, name); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return n.stream(conn), nil
}

func (n *node) stream(conn *yamux.Stream) *stream {
	awaitEnd := func() error { return n.audit.AwaitEnd(n.session, conn.StreamID()) }
	return &stream{conn, awaitEnd}
}

// openWith sends a message along with the open, in the same write.
func (n *node) openWith(name string, message []byte) (*stream, error) {
	conn, err := n.session.OpenStream()
	if err != nil {
		return nil, err
	}
	first := (frame{frameOpen, name, []byte(n.token)}).bytes()
	var chunks strings.Builder
	collected := &stream{ReadWriteCloser: writeOnly{&chunks}}
	if _, err := collected.ReadFrom(strings.NewReader(string(message))); err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(first, chunks.String()...)); err != nil {
		return nil, err
	}
	s := n.stream(conn)
	return s, expectAccept(conn, name)
}

// writeOnly makes a stream of what is only written to.
type writeOnly struct{ io.Writer }

func (writeOnly) Read([]byte) (int, error) { return 0, io.EOF }
func (writeOnly) Close() error             { return nil }
