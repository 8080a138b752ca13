// Package wire implements layers 2 and 3 on top of hashicorp/yamux. It behaves like
// go-wirenet, but reports an error where go-wirenet would panic, hang or corrupt
// data.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Layer 2: the frames at the start of a yamux stream.
const (
	frameError   = 0x04
	frameAccept  = 0x08
	frameOpen    = 0x16
	frameHello   = 0x32
	frameConfirm = 0x64
)

const (
	openSession    = "openSession"
	confirmSession = "confirmSession"
)

// NotFound is the text with which go-wirenet refuses a stream without a handler.
const NotFound = "wirenet: stream handler not found"

type frame struct {
	kind    uint32
	command string
	payload []byte
}

func (f frame) bytes() []byte {
	out := make([]byte, 12, 12+len(f.command)+len(f.payload))
	binary.LittleEndian.PutUint32(out, f.kind)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(f.command)))
	binary.LittleEndian.PutUint32(out[8:], uint32(len(f.payload)))
	out = append(out, f.command...)
	return append(out, f.payload...)
}

func (f frame) writeTo(w io.Writer) error {
	_, err := w.Write(f.bytes())
	return err
}

// readFrame reads a frame, and no byte after it. It reads the header with one read,
// as go-wirenet does.
func readFrame(r io.Reader) (frame, error) {
	var header [12]byte
	n, err := r.Read(header[:])
	if err != nil {
		return frame{}, err
	}
	if n != len(header) {
		return frame{}, fmt.Errorf("one read returned %d of the 12 bytes of a frame's header", n)
	}
	command := binary.LittleEndian.Uint32(header[4:])
	payload := binary.LittleEndian.Uint32(header[8:])
	if command > 1<<16 || payload > 1<<16 {
		return frame{}, fmt.Errorf("a frame with a command of %d and a payload of %d bytes", command, payload)
	}
	body := make([]byte, command+payload)
	if _, err := io.ReadFull(r, body); err != nil {
		return frame{}, fmt.Errorf("reading a frame's body: %v", err)
	}
	kind := binary.LittleEndian.Uint32(header[:])
	return frame{kind: kind, command: string(body[:command]), payload: body[command:]}, nil
}

// Refusal is the error for a refused stream or session.
type Refusal struct {
	Text string
	// Code is unknown to go-wirenet. It is read only to report it to the test.
	Code uint64
}

func (r Refusal) Error() string { return "refused: " + r.Text }

// expectAccept reads the answer to an open.
func expectAccept(r io.Reader, name string) error {
	answer, err := readFrame(r)
	if err != nil {
		return fmt.Errorf("reading the answer to an open of %q: %v", name, err)
	}
	if answer.command != name {
		return fmt.Errorf("the answer to an open of %q names %q", name, answer.command)
	}
	switch answer.kind {
	case frameAccept:
		if len(answer.payload) != 0 {
			return errors.New("an accept with a payload")
		}
		return nil
	case frameError:
		return Refusal{Text: string(answer.payload)}
	}
	return fmt.Errorf("an open was answered with a frame of type %#x", answer.kind)
}
