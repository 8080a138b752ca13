// Package peer is what both Go programs share: how they talk to the test that
// started them, and how they reach the other side.
//
// A program speaks to the test in lines on its standard output. The first word
// says what the line is:
//
//	ready ADDR       it listens there
//	note TEXT        something the test asked to know
//	log TEXT         a line that hashicorp/yamux logged
//	violation TEXT   the other side broke the protocol
//	reset TEXT       the other side reset a stream
//	result TEXT      the last line: "ok", or "fail: " and why
//
// The test decides what of it is to be expected. Standard input carries what
// the test asks of a running program; its end means that the test is gone, and
// the program goes too.
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

// Say writes one line to the test.
func Say(kind, format string, args ...interface{}) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	output.Lock()
	defer output.Unlock()
	fmt.Println(kind, text)
}

// Run does the program's work, says how it ended, and exits.
func Run(work func() error) {
	RunWithInput(func(<-chan string) error { return work() })
}

// RunWithInput is Run for work that takes the lines of standard input.
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
	Say("result", "ok")
}

// Fail says why the program ends here, wherever that is found out.
func Fail(format string, args ...interface{}) {
	Say("result", "fail: "+format, args...)
	os.Exit(1)
}

// Connect reaches the other side: "listen" takes one connection, "dial" makes one.
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
		Say("ready", "%s", listener.Addr())
		return listener.Accept()
	}
	return nil, fmt.Errorf("a side is dial or listen, not %q", side)
}

// Session puts yamux over a connection, in the role that goes with the side.
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

// logLines hands every line that yamux logs to the test.
func logLines() io.Writer {
	return writerFunc(func(line []byte) (int, error) {
		text := strings.TrimSpace(string(line))
		// Without the date and the time in front of the level.
		if at := strings.IndexByte(text, '['); at > 0 {
			text = text[at:]
		}
		Say("log", "%s", text)
		return len(line), nil
	})
}

// UnlessOver is the error of a write after which the other side may close the
// session. hashicorp/yamux then sometimes calls the write a failure although
// everything went out. The session's own end is looked at elsewhere.
func UnlessOver(err error) error {
	if err == yamux.ErrSessionShutdown {
		return nil
	}
	return err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Pattern is size bytes that both sides can compute from the seed. No two
// places of it look alike, so bytes that come twice or in another order show.
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

// Same compares what came with what was sent, and says where they part.
func Same(got, want []byte) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d bytes came instead of %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("byte %d of %d is wrong", i, len(want))
		}
	}
	return nil
}

// All runs work for 0 to n-1 at once and gives the first error.
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
