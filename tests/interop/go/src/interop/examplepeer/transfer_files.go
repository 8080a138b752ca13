package main

import (
	"io"
	"os"
	"path/filepath"

	"interop/peer"
	"interop/wire"
)

// sendFiles sends the files of a folder: for each its name, then its content.
func sendFiles(p *program) error {
	return p.serve(wire.Party{Handlers: map[string]wire.Handler{
		"stats": func(s *wire.Stream) error {
			entries, err := os.ReadDir(p.dir)
			if err != nil {
				return err
			}
			for _, entry := range entries {
				if err := sendFile(s, p.dir, entry.Name()); err != nil {
					return err
				}
			}
			return nil
		},
	}}, nil)
}

func sendFile(s *wire.Stream, dir, name string) error {
	file, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer file.Close()
	w := s.Writer()
	if _, err := io.WriteString(w, name); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err = io.Copy(s, file)
	return err
}

func receiveFiles(p *program) error {
	session, err := p.join(wire.Party{})
	if err != nil {
		return err
	}
	return once(session, "stats", func(s *wire.Stream) error {
		return wire.EachMessage(s.Message, func(name []byte) error {
			return receiveFile(s, p.dir, string(name))
		})
	})
}

func receiveFile(s *wire.Stream, dir, name string) error {
	file, err := os.Create(filepath.Join(dir, filepath.Base(name)))
	if err != nil {
		return err
	}
	defer file.Close()
	n, err := s.WriteTo(file)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	peer.Report("note", "%q: %d bytes", name, n)
	return nil
}
