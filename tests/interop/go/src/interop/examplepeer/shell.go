package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"

	"interop/peer"
	"interop/wire"
)

// callHosts opens every stream that a new session offers.
func callHosts(p *program) error {
	return p.serve(wire.Party{Handlers: map[string]wire.Handler{
		"amount": func(s *wire.Stream) error { return sendJSON(s, "amount") },
	}}, readAll)
}

// sendJSON sends a value and a newline as one message.
func sendJSON(s *wire.Stream, value interface{}) error {
	w := s.Writer()
	if err := json.NewEncoder(w).Encode(value); err != nil {
		return err
	}
	return w.Close()
}

// hostA calls the server back before it answers.
func hostA(p *program) error {
	return p.stay(wire.Party{ID: "hostA", Handlers: map[string]wire.Handler{
		"ping": func(s *wire.Stream) error {
			if err := s.Session.With("amount", noteAmount); err != nil {
				return err
			}
			return p.sendOutput(s)
		},
		"hostA:envPath": sendPath,
	}})
}

func hostB(p *program) error {
	return p.stay(wire.Party{ID: "hostB", Handlers: map[string]wire.Handler{
		"ifconfig":      p.sendOutput,
		"hostB:envPath": sendPath,
	}})
}

func noteAmount(s *wire.Stream) error {
	var amount string
	if err := json.NewDecoder(s.Reader()).Decode(&amount); err != nil {
		return err
	}
	peer.Report("note", "the server says %s", amount)
	return nil
}

// sendOutput runs the command, and sends its output as a message without an end mark.
func (p *program) sendOutput(s *wire.Stream) error {
	command := exec.Command("sh", "-c", p.command)
	command.Stdout = s.Writer()
	return command.Run()
}

func sendPath(s *wire.Stream) error {
	_, err := fmt.Fprintln(s.Writer(), os.Getenv("PATH"))
	return err
}
