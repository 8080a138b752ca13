// yamuxpeer is hashicorp/yamux, and nothing above it, as the other side of a
// test of layer 1. The test says who dials, who opens the streams, and what
// happens on them.
package main

import (
	"flag"
	"fmt"

	"github.com/hashicorp/yamux"

	"interop/audit"
	"interop/peer"
)

// link is a session and what reads along below it.
type link struct {
	*yamux.Session
	audit *audit.Conn
}

// scenario is one story with two parts. Who opens ends the connection, unless
// the story is about the end.
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
	// hashicorp/yamux resets a stream only when nobody accepts it in time.
	"reset":   {open: openAndBeReset, answer: answerAndBeReset},
	"backlog": {answer: answerWithShortBacklog, backlog: 1},
}

func main() {
	side := flag.String("side", "listen", "listen or dial")
	addr := flag.String("addr", "127.0.0.1:0", "where")
	part := flag.String("part", "answer", "open or answer")
	name := flag.String("scenario", "echo", "what happens")
	flag.Parse()
	peer.Run(func() error { return run(*side, *addr, *part, *name) })
}

func run(side, addr, part, name string) error {
	story, known := scenarios[name]
	play := story.answer
	if part == "open" {
		play = story.open
	}
	if !known || play == nil {
		return fmt.Errorf("no part %s in a scenario %s", part, name)
	}
	conn, err := peer.Connect(side, addr)
	if err != nil {
		return err
	}
	backlog := story.backlog
	if backlog == 0 {
		backlog = 256
	}
	audited := audit.New(conn, side, audit.Raw)
	session, err := peer.Session(audited, side, backlog)
	if err != nil {
		return err
	}
	defer session.Close()
	return play(&link{session, audited})
}
