package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"interop/peer"
	"interop/wire"
)

// sendInfo sends messages until the peer closes the stream.
func sendInfo(p *program) error {
	certificate, err := p.certificate("server")
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", p.addr, &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{certificate},
	})
	if err != nil {
		return err
	}
	party := wire.Party{Handlers: map[string]wire.Handler{
		"info": func(s *wire.Stream) error {
			// A failed write means that the peer has closed the stream.
			for s.Send([]byte("HELLO FROM SERVER!")) == nil {
				time.Sleep(p.interval)
			}
			return nil
		},
	}}
	return newServer(party, nil).run(listener, p.lines, func(string) {})
}

// readInfo reports three of the messages, and closes the stream.
func readInfo(p *program) error {
	authority, err := os.ReadFile(filepath.Join(p.certs, "ca.pem"))
	if err != nil {
		return err
	}
	certificate, err := p.certificate("client")
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return fmt.Errorf("ca.pem in %q contains no certificate", p.certs)
	}
	conn, err := tls.Dial("tcp", p.addr, &tls.Config{
		MinVersion:   tls.VersionTLS13,
		RootCAs:      roots,
		Certificates: []tls.Certificate{certificate},
	})
	if err != nil {
		return err
	}
	session, err := (wire.Party{ID: "client"}).Join(conn)
	if err != nil {
		return err
	}
	go serve(session)
	return once(session, "info", func(s *wire.Stream) error {
		for i := 0; i < 3; i++ {
			message, err := s.Message()
			if err != nil {
				return err
			}
			peer.Report("note", "%s", message)
		}
		return nil
	})
}

func (p *program) certificate(name string) (tls.Certificate, error) {
	path := filepath.Join(p.certs, name)
	return tls.LoadX509KeyPair(path+".pem", path+".key")
}
