package wire

import (
	"encoding/binary"
	"io"

	"interop/peer"
)

// Original reads a stream the way the original go-wirenet does, with its faults. The
// methods of Stream report an error instead. The tests check that wirenet does not
// trigger these faults.
type Original struct{ *Stream }

// Original returns a reader with go-wirenet's faults.
func (s *Stream) Original() Original { return Original{s} }

const (
	// go-wirenet would read forever. This program gives up after so many consecutive
	// errors.
	maxErrors = 1_000
	// A greater length must be corrupt.
	maxLength = 64 << 20
)

// WriteTo receives one message. The end of the stream also ends the message. After
// any other error in reading a length, it reads again, forever.
func (o Original) WriteTo(w io.Writer) (total int64, err error) {
	buf := make([]byte, bufferSize)
	for failed := 0; ; {
		length, err := o.length()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			if failed++; failed > maxErrors {
				peer.Fail("WriteTo loops: %d consecutive reads returned %v", failed, err)
			}
			continue
		}
		failed = 0
		if length == 0 {
			return total, nil
		}
		for length > 0 {
			// Panics if the chunk is larger than the buffer.
			n, err := o.Read(buf[:length])
			if err != nil {
				return total, err
			}
			length -= n
			n, err = w.Write(buf[:n])
			total += int64(n)
			if err != nil {
				return total, err
			}
		}
	}
}

// length reads a chunk's length with one read, even if that returns too few bytes.
func (o Original) length() (int, error) {
	var head [4]byte
	if _, err := o.Read(head[:]); err != nil {
		return 0, err
	}
	length := int(binary.LittleEndian.Uint32(head[:]))
	if length > maxLength {
		peer.Fail("a corrupt length: a chunk of %d bytes", length)
	}
	return length, nil
}

// Reader returns a reader for one message.
func (o Original) Reader() *OriginalReader { return &OriginalReader{from: o} }

// OriginalReader reads one message. It writes the pieces of a chunk over one another,
// and treats any error as the end of the message.
type OriginalReader struct {
	from  Original
	chunk []byte
	ended bool
}

func (r *OriginalReader) Read(p []byte) (int, error) {
	if len(r.chunk) == 0 && !r.ended {
		// The error is lost.
		r.ended = r.fill() != nil
	}
	if len(r.chunk) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

func (r *OriginalReader) fill() error {
	length, err := r.from.length()
	if err != nil || length == 0 {
		r.ended = true
		return err
	}
	p := make([]byte, length)
	for length > 0 {
		// Each read starts at the beginning of p.
		n, err := r.from.Read(p)
		if err != nil {
			return err
		}
		length -= n
	}
	r.chunk = p
	return nil
}
