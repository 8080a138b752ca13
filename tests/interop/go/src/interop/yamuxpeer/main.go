// yamuxpeer is the peer for the tests of layer 1. It runs plain hashicorp/yamux. The
// test determines which peer dials, which one opens the streams, and what happens
// on them.
package main

import (
	"flag"
	"fmt"

	"github.com/hashicorp/yamux"

	"interop/audit"
	"interop/peer"
)

// link is a session and the audit of its connection.
type link struct {
	*yamux.Session
	audit *audit.Conn
}

// scenario is a sequence of events with two parts. The part that opens the streams
// ends the connection, unless the scenario is about the end.
type scenario struct {
	open, answer func(*link) error
	// backlog is how many streams may wait to be accepted here.
	backlog int
}

var scenarios = map[string]scenario{
	"echo":         {open: openEchoes, answer: answerEchoes},
	"many":         {open: openMany, answer: answerEchoes},
	"serial":       {open: openSerial, answer: answerEchoes},
	"burst":        {open: openBurst, answer: answerEchoes},
	"half-close":   {open: openHalfClose, answer: answerHalfClose},
	"ping":         {open: openPing, answer: answerPing},
	"go-away":      {open: openGoAway, answer: answerGoAway},
	"close-opener": {open: openAndClose, answer: answerUntilClosed},
	"close-other":  {open: openUntilClosed, answer: answerAndClose},
	// hashicorp/yamux resets a stream only if it is not accepted in time.
	"reset":   {open: openAndBeReset, answer: answerAndBeReset},
	"backlog": {answer: answerWithShortBacklog, backlog: 1},
}

func main() {
	side := flag.String("side", "listen", "listen or dial")
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on or to dial")
	part := flag.String("part", "answer", "open or answer")
	name := flag.String("scenario", "echo", "the scenario to run")
	flag.Parse()
	peer.Run(func() error { return run(*side, *addr, *part, *name) })
}

func run(side, addr, part, name string) error {
	chosen, known := scenarios[name]
	act := chosen.answer
	if part == "open" {
		act = chosen.open
	}
	if !known || act == nil {
		return fmt.Errorf("there is no part %q in a scenario %q", part, name)
	}
	conn, err := peer.Connect(side, addr)
	if err != nil {
		return err
	}
	backlog := chosen.backlog
	if backlog == 0 {
		backlog = 256
	}
	audited := audit.New(conn, side, audit.Raw)
	session, err := peer.Session(audited, side, backlog)
	if err != nil {
		return err
	}
	defer session.Close()
	return act(&link{session, audited})
}
