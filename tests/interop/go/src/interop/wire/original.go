package wire

import (
	"encoding/binary"
	"io"

	"interop/peer"
)

// Original reads a stream the way go-wirenet does, with its faults, where the
// methods of Stream say what is wrong. What a test asks of this library is that
// these faults do no harm.
type Original struct{ *Stream }

// Original is the stream as go-wirenet would read it.
func (s *Stream) Original() Original { return Original{s} }

const (
	// Where go-wirenet would go on reading for ever, this program gives up.
	mostErrors = 1_000
	// What only a garbled length can say.
	mostLength = 64 << 20
)

// WriteTo receives one message. The end of the stream is its end too, and any
// other error in reading a length is not: it is read again, for ever.
func (o Original) WriteTo(w io.Writer) (total int64, err error) {
	buf := make([]byte, bufferSize)
	for failed := 0; ; {
		length, err := o.length()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			if failed++; failed > mostErrors {
				peer.Fail("WriteTo burns a core: %d reads in a row gave %v", failed, err)
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

// length reads a chunk's length with one read, and takes what that gave for it.
func (o Original) length() (int, error) {
	var head [4]byte
	if _, err := o.Read(head[:]); err != nil {
		return 0, err
	}
	length := int(binary.LittleEndian.Uint32(head[:]))
	if length > mostLength {
		peer.Fail("a garbled length: a chunk of %d bytes", length)
	}
	return length, nil
}

// Reader reads one message.
func (o Original) Reader() *OriginalReader { return &OriginalReader{from: o} }

// OriginalReader reads one message. It puts the pieces of a chunk over one
// another, and takes any error for the message's end.
type OriginalReader struct {
	from  Original
	chunk []byte
	ended bool
}

func (r *OriginalReader) Read(p []byte) (int, error) {
	if len(r.chunk) == 0 && !r.ended {
		// The error is lost here.
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
		// All of p each time, wherever the last read ended.
		n, err := r.from.Read(p)
		if err != nil {
			return err
		}
		length -= n
	}
	r.chunk = p
	return nil
}
