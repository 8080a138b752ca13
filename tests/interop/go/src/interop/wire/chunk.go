package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// bufferSize is the size of go-wirenet's buffer for chunks. Layer 3 behaves like
// go-wirenet, but checks what go-wirenet takes for granted: where go-wirenet would
// panic or corrupt data, it reports an error.
const bufferSize = 1024

// Stream is a named stream after its handshake.
type Stream struct {
	io.ReadWriteCloser
	// Session is the stream's session.
	Session *Session
	// awaitEnd waits until the peer has ended its half.
	awaitEnd func() error
}

// Finish closes the stream and waits until the peer has closed it too.
func (s *Stream) Finish() error {
	if err := s.Close(); err != nil {
		return err
	}
	return s.awaitEnd()
}

// ReadFrom sends one message: chunks of up to 1,024 bytes, each with one write for
// its length and one for its bytes, and an end mark.
func (s *Stream) ReadFrom(r io.Reader) (total int64, err error) {
	buf := make([]byte, bufferSize)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if err := s.WriteChunk(buf[:n]); err != nil {
				return total, err
			}
			total += int64(n)
		}
		if err == io.EOF {
			return total, s.WriteLength(0)
		}
		if err != nil {
			return total, err
		}
	}
}

// WriteTo receives one message through a buffer of 1,024 bytes.
func (s *Stream) WriteTo(w io.Writer) (total int64, err error) {
	buf := make([]byte, bufferSize)
	for {
		length, err := s.readLength()
		if err != nil || length == 0 {
			return total, err
		}
		if length > bufferSize {
			panic(fmt.Sprintf("a chunk of %d bytes for a buffer of %d", length, bufferSize))
		}
		if _, err := io.ReadFull(s, buf[:length]); err != nil {
			return total, fmt.Errorf("reading a chunk's bytes: %v", err)
		}
		n, err := w.Write(buf[:length])
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// readLength reads a chunk's length with one read. It returns io.EOF at the end of
// the stream.
func (s *Stream) readLength() (int, error) {
	var head [4]byte
	n, err := s.Read(head[:])
	if err != nil {
		return 0, err
	}
	if n != len(head) {
		return 0, fmt.Errorf("one read returned %d of the 4 bytes of a chunk's length", n)
	}
	return int(binary.LittleEndian.Uint32(head[:])), nil
}

// WriteLength sends the length of the next chunk. 0 ends the message.
func (s *Stream) WriteLength(n int) error {
	var head [4]byte
	binary.LittleEndian.PutUint32(head[:], uint32(n))
	_, err := s.ReadWriteCloser.Write(head[:])
	return err
}

// WriteChunk sends bytes as one chunk.
func (s *Stream) WriteChunk(p []byte) error {
	if err := s.WriteLength(len(p)); err != nil {
		return err
	}
	_, err := s.ReadWriteCloser.Write(p)
	return err
}

// Message receives one message through WriteTo. It returns io.EOF if the stream ends
// instead.
func (s *Stream) Message() ([]byte, error) {
	var message bytes.Buffer
	n, err := s.WriteTo(&message)
	if err == io.EOF && n > 0 {
		err = fmt.Errorf("the stream ended inside a message, after %d bytes", n)
	}
	return message.Bytes(), err
}

// MessageByReader receives one message through Reader. It returns io.EOF if the
// stream ends instead.
func (s *Stream) MessageByReader() ([]byte, error) {
	var message bytes.Buffer
	r := s.Reader()
	_, err := message.ReadFrom(r)
	if err == nil && !r.ended {
		err = io.EOF // the stream ended: the end of a message sets r.ended
	}
	return message.Bytes(), err
}

// EachMessage passes every message that read returns to then, until the stream ends.
func EachMessage(read func() ([]byte, error), then func([]byte) error) error {
	for {
		message, err := read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := then(message); err != nil {
			return err
		}
	}
}

// Send sends one message through ReadFrom.
func (s *Stream) Send(message []byte) error {
	_, err := s.ReadFrom(bytes.NewReader(message))
	return err
}

// Reader returns a reader for one message.
func (s *Stream) Reader() *Reader { return &Reader{stream: s} }

// Reader reads one message. It requires that one read returns each chunk whole:
// go-wirenet's Reader would write the pieces over one another.
type Reader struct {
	stream       *Stream
	chunk        []byte
	began, ended bool
}

func (r *Reader) Read(p []byte) (int, error) {
	for len(r.chunk) == 0 && !r.ended {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	if r.ended {
		return 0, io.EOF
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

func (r *Reader) fill() error {
	length, err := r.stream.readLength()
	if err == io.EOF && r.began {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	r.began = true
	if length == 0 {
		r.ended = true
		return nil
	}
	chunk := make([]byte, length)
	n, err := r.stream.Read(chunk)
	if err != nil {
		return fmt.Errorf("reading a chunk's bytes: %v", err)
	}
	if n != length {
		return fmt.Errorf("one read returned %d of the %d bytes of a chunk: it arrived in pieces", n, length)
	}
	r.chunk = chunk
	return nil
}

// Writer returns a writer for one message.
func (s *Stream) Writer() Writer { return Writer{s} }

// Writer sends each write as one chunk of any size.
type Writer struct{ stream *Stream }

func (w Writer) Write(p []byte) (int, error) { return len(p), w.stream.WriteChunk(p) }

// Close writes the end mark.
func (w Writer) Close() error { return w.stream.WriteLength(0) }
