package audit

import "encoding/binary"

const (
	wireHeaderLen = 12
	lengthLen     = 4
	largestChunk  = 1024
)

// content checks what one direction of a stream carries: one wirenet frame,
// then chunks. What has to lie whole in one Data frame:
//
//	the header of the wirenet frame      read with one read
//	a chunk, its length and its bytes    Reader puts pieces over one another
type content struct {
	report  func(what string)
	step    step
	want    int // bytes of the current step that are still to come
	head    []byte
	frame   int // bytes of the current Data frame that are still to come
	size    int // bytes of the current chunk
	message bool
	// broken is set by the first violation after which what follows says nothing.
	broken bool
	// said are the others, which are told once.
	said map[string]bool
}

type step int

const (
	wireHeader step = iota
	wireBody
	chunkLength
	chunkBytes
)

func newContent(report func(what string)) *content {
	return &content{report: report, step: wireHeader, want: wireHeaderLen, said: map[string]bool{}}
}

func (c *content) complain(what string) {
	if !c.broken {
		c.report(what)
	}
	c.broken = true
}

// remark complains of what Go peers do too, and what follows can be checked after.
func (c *content) remark(what string) {
	if !c.broken && !c.said[what] {
		c.report(what)
	}
	c.said[what] = true
}

func (c *content) startOfFrame(length int) {
	c.frame = length
	c.whole()
}

// whole complains if the step that begins here does not fit into what is left
// of the Data frame.
func (c *content) whole() {
	if c.frame > 0 && c.want > c.frame {
		switch c.step {
		case wireHeader:
			c.complain("the header of a wirenet frame is cut by a Data frame's end")
		case chunkLength, chunkBytes:
			c.complain("a chunk is cut by a Data frame's end")
		}
	}
}

func (c *content) feed(p []byte) {
	for len(p) > 0 && !c.broken {
		n := c.want
		if n > len(p) {
			n = len(p)
		}
		if c.step == wireHeader || c.step == chunkLength {
			c.head = append(c.head, p[:n]...)
		}
		p, c.want, c.frame = p[n:], c.want-n, c.frame-n
		for c.want == 0 {
			c.next()
		}
	}
}

func (c *content) next() {
	switch c.step {
	case wireHeader:
		command := binary.LittleEndian.Uint32(c.head[4:])
		payload := binary.LittleEndian.Uint32(c.head[8:])
		c.step, c.want = wireBody, int(command+payload)
	case chunkLength:
		c.chunk(int(binary.LittleEndian.Uint32(c.head)))
	default:
		c.step, c.want = chunkLength, lengthLen
	}
	c.head = c.head[:0]
	c.whole()
}

func (c *content) chunk(length int) {
	if length > largestChunk {
		c.remark("a chunk of more than 1,024 bytes")
	}
	c.message = length > 0
	if length == 0 {
		c.want = lengthLen
		return
	}
	if c.frame == 0 {
		c.remark("a chunk's length in one Data frame, its bytes in the next")
	}
	c.step, c.want, c.size = chunkBytes, length, length
}

// endOfFrame is also told whether the stream ends with this frame.
func (c *content) endOfFrame(fin bool) {
	if c.step == chunkBytes && c.want != c.size || c.step == chunkLength && c.want != lengthLen {
		c.complain("a Data frame ends inside a chunk")
	}
	if fin && c.message {
		c.complain("FIN without an end mark behind the last chunk")
	}
}
