package main

import (
	"net"
	"sync"

	"interop/peer"
	"interop/wire"
)

// server accepts sessions until it is stopped.
type server struct {
	party wire.Party
	// opened is called for each new session, in addition to serving its handlers.
	opened func(*wire.Session) error
	// tasks are the running goroutines of all sessions.
	tasks sync.WaitGroup

	lock     sync.Mutex
	stopping bool
	sessions map[*wire.Session]bool
}

func newServer(party wire.Party, opened func(*wire.Session) error) *server {
	return &server{party: party, opened: opened, sessions: map[*wire.Session]bool{}}
}

// serve accepts sessions until the test sends "stop".
func (p *program) serve(party wire.Party, opened func(*wire.Session) error) error {
	listener, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	return newServer(party, opened).run(listener, p.lines, func(string) {})
}

// run serves until it reads the line "stop", and passes other lines to typed.
func (s *server) run(listener net.Listener, lines <-chan string, typed func(string)) error {
	peer.Report("ready", "%s", listener.Addr())
	s.tasks.Add(1)
	go s.accept(listener)
	for line := range lines {
		if line == "stop" {
			break
		}
		typed(line)
	}
	_ = listener.Close()
	s.stop()
	s.tasks.Wait()
	return nil
}

func (s *server) accept(listener net.Listener) {
	defer s.tasks.Done()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		s.tasks.Add(1)
		go s.take(conn)
	}
}

// take serves a connection until either peer closes it.
func (s *server) take(conn net.Conn) {
	defer s.tasks.Done()
	session, err := s.party.Mount(conn)
	if err != nil {
		peer.Report("violation", "a session did not open: %v", err)
		return
	}
	defer session.Close()
	s.lock.Lock()
	if s.stopping {
		s.lock.Unlock()
		return
	}
	s.sessions[session] = true
	s.lock.Unlock()
	if s.opened != nil && session.Refused == nil {
		s.tasks.Add(1)
		go s.open(session)
	}
	if err := session.Serve(); err != nil {
		peer.Report("violation", "%v", err)
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	delete(s.sessions, session)
}

func (s *server) open(session *wire.Session) {
	defer s.tasks.Done()
	err := s.opened(session)
	if err != nil && !s.isStopping() {
		peer.Report("violation", "handling a new session: %v", err)
	}
}

func (s *server) stop() {
	s.lock.Lock()
	s.stopping = true
	s.lock.Unlock()
	for _, session := range s.all() {
		_ = session.Close()
	}
}

func (s *server) isStopping() bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.stopping
}

func (s *server) all() []*wire.Session {
	s.lock.Lock()
	defer s.lock.Unlock()
	sessions := []*wire.Session{}
	for session := range s.sessions {
		sessions = append(sessions, session)
	}
	return sessions
}
