package wire

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sort"
	"strings"
	"sync"

	"github.com/hashicorp/yamux"

	"interop/audit"
	"interop/peer"
)

// backlog is the number of streams that may wait to be accepted.
const backlog = 256

// Party is the configuration of one end of a session.
type Party struct {
	ID, Token string
	// Validator checks a stream's name, identification and token. If it is nil,
	// everything is accepted.
	Validator func(name string, id, token []byte) error
	Handlers  map[string]Handler
}

// Handler answers a stream that the peer opened.
type Handler func(*Stream) error

// Session is an open session.
type Session struct {
	// Names are the names of the peer's handlers.
	Names []string
	// Identification and Token are those of the peer, if it joined.
	Identification, Token []byte
	// Refused is the error with which our validator refused the session.
	Refused error

	party    Party
	yamux    *yamux.Session
	audit    *audit.Conn
	handlers sync.WaitGroup
}

// Mount answers the opening of a session, on an accepted connection.
func (p Party) Mount(conn net.Conn) (*Session, error) {
	return p.over(conn, "listen", (*Session).mount)
}

// Join opens a session, on a dialled connection.
func (p Party) Join(conn net.Conn) (*Session, error) {
	return p.over(conn, "dial", (*Session).join)
}

func (p Party) over(conn net.Conn, side string, open func(*Session) error) (*Session, error) {
	audited := audit.New(conn, side, audit.Wire)
	session, err := peer.Session(audited, side, backlog)
	if err != nil {
		return nil, err
	}
	s := &Session{party: p, yamux: session, audit: audited}
	if err := open(s); err != nil {
		_ = session.Close()
		return nil, err
	}
	return s, nil
}

func (p Party) names() []string {
	names := []string{}
	for name := range p.Handlers {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (p Party) validate(name string, id, token []byte) error {
	if p.Validator == nil {
		return nil
	}
	return p.Validator(name, id, token)
}

func (s *Session) join() error {
	conn, err := s.yamux.OpenStream()
	if err != nil {
		return err
	}
	defer conn.Close()
	sid := make([]byte, 16)
	if _, err := rand.Read(sid); err != nil {
		return err
	}
	sid[6], sid[8] = sid[6]&0x0f|0x40, sid[8]&0x3f|0x80 // UUID, version 4
	request := hello{
		sid: sid, token: []byte(s.party.Token),
		identification: []byte(s.party.ID), streams: s.party.names(),
	}
	err = (frame{frameHello, openSession, request.encode()}).writeTo(conn)
	if err := peer.IgnoreShutdown(err); err != nil {
		return err
	}
	answer, err := confirmation(conn, sid)
	if err != nil {
		return err
	}
	if answer.err != "" {
		return Refusal{Text: answer.err, Code: answer.code}
	}
	s.Names = answer.streams
	return nil
}

func confirmation(conn io.Reader, sid []byte) (confirm, error) {
	answer, err := readFrame(conn)
	if err != nil {
		return confirm{}, fmt.Errorf("reading the answer to openSession: %v", err)
	}
	if answer.kind != frameConfirm || answer.command != confirmSession {
		return confirm{}, fmt.Errorf("openSession was answered with %#x %q", answer.kind, answer.command)
	}
	message, err := decodeConfirm(answer.payload)
	if err == nil && string(message.sid) != string(sid) {
		err = errors.New("the session was confirmed with another id")
	}
	return message, err
}

func (s *Session) mount() error {
	conn, err := s.yamux.AcceptStream()
	if err != nil {
		return err
	}
	defer conn.Close()
	request, err := readFrame(conn)
	if err != nil {
		return fmt.Errorf("reading openSession: %v", err)
	}
	if request.kind != frameHello || request.command != openSession {
		return fmt.Errorf("a session was opened with %#x %q", request.kind, request.command)
	}
	them, err := decodeHello(request.payload)
	if err != nil {
		return err
	}
	if len(them.sid) != 16 {
		return fmt.Errorf("the session id has %d bytes, not 16", len(them.sid))
	}
	s.Identification, s.Token, s.Names = them.identification, them.token, them.streams
	answer := confirm{sid: them.sid, streams: s.party.names()}
	s.Refused = s.party.validate(confirmSession, them.identification, them.token)
	if s.Refused != nil {
		answer.err = s.Refused.Error()
	}
	return peer.IgnoreShutdown((frame{frameConfirm, confirmSession, answer.encode()}).writeTo(conn))
}

// Serve answers opens until either peer closes the connection.
func (s *Session) Serve() error {
	for {
		conn, err := s.yamux.AcceptStream()
		if err == io.EOF || err == yamux.ErrSessionShutdown {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the connection did not end gracefully: %v", err)
		}
		s.handlers.Add(1)
		go s.handle(conn)
	}
}

// AwaitHandlers waits until all handlers have returned. Call it after Serve.
func (s *Session) AwaitHandlers() { s.handlers.Wait() }

// Close closes the connection without notice, as go-wirenet does.
func (s *Session) Close() error { return s.yamux.Close() }

// IsClosed returns whether either peer has closed the connection.
func (s *Session) IsClosed() bool { return s.yamux.IsClosed() }

// Over returns a channel that is closed when either peer closes the connection.
func (s *Session) Over() <-chan struct{} { return s.yamux.CloseChan() }

func (s *Session) handle(conn *yamux.Stream) {
	defer s.handlers.Done()
	defer conn.Close()
	request, err := readFrame(conn)
	if err != nil || request.kind != frameOpen {
		peer.Report("violation", "a stream was opened with %#x: %v", request.kind, err)
		return
	}
	name := request.command
	run := s.party.Handlers[name]
	refused := s.party.validate(name, s.Identification, request.payload)
	if refused == nil && run == nil {
		refused = errors.New(NotFound)
	}
	if refused != nil {
		_ = (frame{frameError, name, []byte(refused.Error())}).writeTo(conn)
		return
	}
	err = (frame{frameAccept, name, nil}).writeTo(conn)
	if err := peer.IgnoreShutdown(err); err != nil {
		peer.Report("violation", "stream %q: %v", name, err)
		return
	}
	if err := peer.IgnoreShutdown(run(s.stream(conn))); err != nil {
		peer.Report("violation", "handler of %q: %v", name, err)
	}
}

// Open opens a named stream, and waits for the answer.
func (s *Session) Open(name string) (*Stream, error) { return s.open(name, nil) }

// OpenWith sends a message together with the open, in one write.
func (s *Session) OpenWith(name string, message []byte) (*Stream, error) {
	var chunks strings.Builder
	collected := &Stream{ReadWriteCloser: writeOnly{&chunks}}
	if err := collected.Send(message); err != nil {
		return nil, err
	}
	return s.open(name, []byte(chunks.String()))
}

func (s *Session) open(name string, behind []byte) (*Stream, error) {
	conn, err := s.yamux.OpenStream()
	if err != nil {
		return nil, err
	}
	first := (frame{frameOpen, name, []byte(s.party.Token)}).bytes()
	if _, err := conn.Write(append(first, behind...)); err != nil {
		return nil, err
	}
	if err := expectAccept(conn, name); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s.stream(conn), nil
}

// With opens a stream, calls use with it, closes it, and waits until the peer has
// closed it too.
func (s *Session) With(name string, use func(*Stream) error) error {
	stream, err := s.Open(name)
	if err != nil {
		return err
	}
	if err := use(stream); err != nil {
		return fmt.Errorf("stream %q: %v", name, err)
	}
	return stream.Finish()
}

func (s *Session) stream(conn *yamux.Stream) *Stream {
	awaitEnd := func() error { return s.audit.AwaitEnd(s.yamux, conn.StreamID()) }
	return &Stream{conn, s, awaitEnd}
}

// writeOnly makes a stream from a writer.
type writeOnly struct{ io.Writer }

func (writeOnly) Read([]byte) (int, error) { return 0, io.EOF }
func (writeOnly) Close() error             { return nil }
