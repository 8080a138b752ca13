package audit

import "encoding/binary"

const (
	wireHeaderLen = 12
	lengthLen     = 4
	largestChunk  = 1024
)

// content checks the bytes in one direction of a stream: one wirenet frame,
// then chunks. These must not be split between two Data frames:
//
//	the header of the wirenet frame      go-wirenet reads it with one read
//	a chunk, its length and its bytes    go-wirenet's Reader would write the
//	                                     pieces over one another
type content struct {
	report  func(what string)
	step    step
	want    int // remaining bytes of the current step
	head    []byte
	frame   int // remaining bytes of the current Data frame
	size    int // bytes of the current chunk
	message bool
	// broken is set by a violation after which the rest cannot be checked.
	broken bool
	// remarked contains the other violations, which are reported once.
	remarked map[string]bool
}

type step int

const (
	wireHeader step = iota
	wireBody
	chunkLength
	chunkBytes
)

func newContent(report func(what string)) *content {
	return &content{report: report, step: wireHeader, want: wireHeaderLen, remarked: map[string]bool{}}
}

func (c *content) complain(what string) {
	if !c.broken {
		c.report(what)
	}
	c.broken = true
}

// remark reports a violation that Go peers commit too. The rest can still be checked.
func (c *content) remark(what string) {
	if !c.broken && !c.remarked[what] {
		c.report(what)
	}
	c.remarked[what] = true
}

func (c *content) startOfFrame(length int) {
	c.frame = length
	c.checkFits()
}

// checkFits complains if the step that begins here does not fit into the rest of
// the Data frame.
func (c *content) checkFits() {
	if c.frame > 0 && c.want > c.frame {
		switch c.step {
		case wireHeader:
			c.complain("the header of a wirenet frame is cut by the end of a Data frame")
		case chunkLength, chunkBytes:
			c.complain("a chunk is cut by the end of a Data frame")
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
	c.checkFits()
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

// endOfFrame checks the end of a Data frame. fin is whether the stream ends with it.
func (c *content) endOfFrame(fin bool) {
	if c.step == chunkBytes && c.want != c.size || c.step == chunkLength && c.want != lengthLen {
		c.complain("a Data frame ends inside a chunk")
	}
	if fin && c.message {
		c.complain("FIN without an end mark after the last chunk")
	}
}
