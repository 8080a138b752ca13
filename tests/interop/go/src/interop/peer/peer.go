// Package peer contains what all Go programs share: the protocol with the test that
// started them, and the connection to the peer.
//
// A program reports to the test in lines on its standard output. The first word is
// the kind of the line:
//
//	ready ADDR       the program listens on this address
//	note TEXT        an event that the test waits for
//	log TEXT         a line that hashicorp/yamux logged
//	violation TEXT   the peer broke the protocol
//	reset TEXT       the peer reset a stream
//	result TEXT      the last line: "ok", or "fail: " and the reason
//
// The test decides which lines it expects. It sends commands to a running program
// on standard input. The program ends when its standard input ends, because then
// the test has ended.
package peer

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

var output sync.Mutex

// Report writes one line to the test.
func Report(kind, format string, args ...interface{}) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	output.Lock()
	defer output.Unlock()
	fmt.Println(kind, text)
}

// Run does the program's work, reports the result, and exits.
func Run(work func() error) {
	RunWithInput(func(<-chan string) error { return work() })
}

// RunWithInput is Run for work that reads the lines of standard input.
func RunWithInput(work func(lines <-chan string) error) {
	lines := make(chan string, 16)
	go func() {
		for input := bufio.NewScanner(os.Stdin); input.Scan(); {
			lines <- input.Text()
		}
		os.Exit(3)
	}()
	if err := work(lines); err != nil {
		Fail("%v", err)
	}
	Report("result", "ok")
}

// Fail reports a failure and exits. Any part of the program may call it.
func Fail(format string, args ...interface{}) {
	Report("result", "fail: "+format, args...)
	os.Exit(1)
}

// Connect connects to the peer. The side "listen" accepts one connection, "dial"
// makes one.
func Connect(side, addr string) (net.Conn, error) {
	switch side {
	case "dial":
		return net.Dial("tcp", addr)
	case "listen":
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		Report("ready", "%s", listener.Addr())
		return listener.Accept()
	}
	return nil, fmt.Errorf("the side must be dial or listen, not %q", side)
}

// Session starts yamux on a connection: the dialling side is the client.
func Session(conn net.Conn, side string, backlog int) (*yamux.Session, error) {
	config := yamux.DefaultConfig()
	config.AcceptBacklog = backlog
	config.KeepAliveInterval = 15 * time.Second // go-wirenet's default
	config.LogOutput = logLines()
	if side == "dial" {
		return yamux.Client(conn, config)
	}
	return yamux.Server(conn, config)
}

// logLines returns a writer that reports every line that yamux logs.
func logLines() io.Writer {
	return writerFunc(func(line []byte) (int, error) {
		text := strings.TrimSpace(string(line))
		// Remove the date and time before the level.
		if at := strings.IndexByte(text, '['); at > 0 {
			text = text[at:]
		}
		Report("log", "%s", text)
		return len(line), nil
	})
}

// IgnoreShutdown filters the error of a write after which the peer may close the
// session. hashicorp/yamux then sometimes reports a failure although everything was
// sent. Other code checks the end of the session.
func IgnoreShutdown(err error) error {
	if err == yamux.ErrSessionShutdown {
		return nil
	}
	return err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Pattern returns size bytes that both peers can compute from the seed. No part of
// them repeats, so duplicated or reordered bytes are detected.
func Pattern(seed uint64, size int) []byte {
	out := make([]byte, size+8)
	state := seed
	for i := 0; i < size; i += 8 {
		// splitmix64
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		for b := 0; b < 8; b++ {
			out[i+b] = byte(z >> (8 * b))
		}
	}
	return out[:size]
}

// Same compares received bytes with the expected ones, and reports the first
// difference.
func Same(got, want []byte) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d bytes received instead of %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("byte %d of %d is wrong", i, len(want))
		}
	}
	return nil
}

// All runs work concurrently for 0 to n-1, and returns the first error.
func All(n int, work func(i int) error) error {
	results := make(chan error, n)
	for i := 0; i < n; i++ {
		go func(i int) { results <- work(i) }(i)
	}
	var first error
	for i := 0; i < n; i++ {
		if err := <-results; err != nil && first == nil {
			first = err
		}
	}
	return first
}
