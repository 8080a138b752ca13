// Package audit checks every frame that arrives on a connection. A peer's own
// reads would notice some violations only occasionally: for example, a chunk in
// two frames looks whole if both frames have already arrived.
package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/hashicorp/yamux"

	"interop/peer"
)

const (
	typeData = iota
	typeWindowUpdate
	typePing
	typeGoAway
)

const (
	flagSYN = 1 << iota
	flagACK
	flagFIN
	flagRST
)

const headerLen = 12

// Layers determines which layers are checked.
type Layers int

const (
	// Raw checks yamux alone.
	Raw Layers = iota
	// Wire also checks wirenet frames and chunks.
	Wire
)

// Conn is a connection whose incoming bytes are checked as they are read.
type Conn struct {
	net.Conn
	layers Layers
	report func(kind, format string, args ...interface{})
	// peerParity is the lowest bit of the stream ids that the peer may open.
	peerParity uint32
	header     []byte
	left       int // remaining bytes of the current Data body
	current    *stream
	streams    map[uint32]*stream

	endsLock sync.Mutex
	ends     map[uint32]chan struct{}
}

// stream is what the peer has sent so far on one stream.
type stream struct {
	id                 uint32
	syn, ack, fin, rst bool
	content            *content
}

// New wraps a connection. side is ours, "dial" or "listen", and determines which
// stream ids the peer may open.
func New(conn net.Conn, side string, layers Layers) *Conn {
	parity := uint32(1)
	if side == "dial" {
		parity = 0
	}
	return &Conn{
		Conn: conn, layers: layers, report: peer.Report, peerParity: parity,
		streams: map[uint32]*stream{}, ends: map[uint32]chan struct{}{},
	}
}

// AwaitEnd waits until the peer has ended its half of a stream. The stream itself
// cannot tell: once hashicorp/yamux has closed a stream, its reader gets EOF,
// whatever the peer does.
func (c *Conn) AwaitEnd(session *yamux.Session, id uint32) error {
	select {
	case <-c.ended(id):
		return nil
	case <-session.CloseChan():
	}
	// Both may have happened.
	select {
	case <-c.ended(id):
		return nil
	default:
		return errors.New("the session ended before the stream")
	}
}

func (c *Conn) ended(id uint32) chan struct{} {
	c.endsLock.Lock()
	defer c.endsLock.Unlock()
	if c.ends[id] == nil {
		c.ends[id] = make(chan struct{})
	}
	return c.ends[id]
}

// Read reads from the connection and checks the bytes. yamux reads from one
// goroutine only, so the state of the checks needs no lock.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.feed(p[:n])
	return n, err
}

func (c *Conn) feed(p []byte) {
	for len(p) > 0 {
		if c.left > 0 {
			n := c.left
			if n > len(p) {
				n = len(p)
			}
			c.body(p[:n])
			p = p[n:]
			continue
		}
		n := headerLen - len(c.header)
		if n > len(p) {
			n = len(p)
		}
		c.header = append(c.header, p[:n]...)
		p = p[n:]
		if len(c.header) == headerLen {
			c.frame(c.header)
			c.header = c.header[:0]
		}
	}
}

func (c *Conn) body(p []byte) {
	c.left -= len(p)
	if c.current.content == nil {
		return
	}
	c.current.content.feed(p)
	if c.left == 0 {
		c.current.content.endOfFrame(c.current.fin)
	}
}

func (c *Conn) frame(h []byte) {
	kind := int(h[1])
	flags := int(binary.BigEndian.Uint16(h[2:]))
	id := binary.BigEndian.Uint32(h[4:])
	length := binary.BigEndian.Uint32(h[8:])
	name := fmt.Sprintf("frame type %d flags %d stream %d length %d", kind, flags, id, length)
	if h[0] != 0 || kind > typeGoAway || flags > 15 {
		c.report("violation", "%s: version %d, or an invalid type or flag", name, h[0])
	}
	if kind == typePing || kind == typeGoAway {
		if id != 0 {
			c.report("violation", "%s: a ping or go away must have stream id 0", name)
		}
		return
	}
	c.current = c.stream(id)
	c.check(c.current, name, kind, flags)
	if kind == typeData {
		c.left = int(length)
	}
	if c.current.content == nil || c.current.rst {
		return
	}
	c.current.content.startOfFrame(c.left)
	if c.left == 0 {
		c.current.content.endOfFrame(flags&flagFIN != 0)
	}
}

func (c *Conn) stream(id uint32) *stream {
	s := c.streams[id]
	if s == nil {
		s = &stream{id: id}
		if c.layers == Wire {
			s.content = newContent(func(what string) { c.report("violation", "stream %d: %s", id, what) })
		}
		c.streams[id] = s
	}
	return s
}

// check compares a frame with the earlier ones on its stream. hashicorp/yamux ends
// the session after a second FIN, and logs a second ACK as an error.
func (c *Conn) check(s *stream, name string, kind, flags int) {
	complain := func(what string) { c.report("violation", "%s: %s", name, what) }
	theirs := s.id&1 == c.peerParity
	if s.rst {
		complain("after a reset")
	}
	if flags&flagSYN != 0 && (s.syn || !theirs) {
		complain("SYN twice, or for an id that is not the sender's to open")
	}
	if flags&flagACK != 0 && (s.ack || theirs) {
		complain("ACK twice, or for a stream that the sender opened itself")
	}
	if s.fin && (kind == typeData || flags&(flagSYN|flagACK|flagFIN) != 0) {
		complain("after FIN")
	}
	if theirs && !s.syn && flags&flagSYN == 0 {
		complain("before SYN")
	}
	s.syn = s.syn || flags&flagSYN != 0
	s.ack = s.ack || flags&flagACK != 0
	if flags&(flagFIN|flagRST) != 0 && !s.fin {
		close(c.ended(s.id))
	}
	s.fin = s.fin || flags&(flagFIN|flagRST) != 0
	s.rst = flags&flagRST != 0
	if s.rst {
		c.report("reset", "%s", name)
	}
}
