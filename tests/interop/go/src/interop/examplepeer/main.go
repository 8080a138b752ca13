// examplepeer is the Go program of each pair of examples. It uses the same names,
// streams and data as the examples in examples/, and behaves like go-wirenet.
//
//	examplepeer EXAMPLE ROLE -addr HOST:PORT [options]
//
// It runs until it is done, until the peer ends its session, or until it reads the
// line "stop" on its standard input.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"interop/peer"
)

// program is a running role with its options.
type program struct {
	addr, certs, dir, id, token, command string
	sessions, rounds                     int
	interval, wait                       time.Duration
	lines                                <-chan string
}

type role func(*program) error

var examples = map[string]map[string]role{
	"transfer_files": {"server": sendFiles, "client": receiveFiles},
	"bytes":          {"server": serveBytes, "client": readBytes},
	"auth": {
		"server":       checkTokens,
		"aws":          sendToken("aws", rightToken),
		"digitalocean": sendToken("digitalocean", wrongToken),
		"macbook":      sendToken("macbook", rightToken),
	},
	"tls":       {"server": sendInfo, "client": readInfo},
	"reconnect": {"server": sayHello, "client": readHello},
	"hub":       {"node_a": nodeA, "node_b": nodeB},
	"shell":     {"server": callHosts, "host_a": hostA, "host_b": hostB},
	"exchange": {
		"server":  readQuotes,
		"binance": quote("binance:quotes", "USD"),
		"google":  quote("google:quotes", "BTC"),
		"okcoin":  quote("okcoin:quotes", "EUR"),
	},
	"keyboard": {"server": typeCommands, "client": answerCommands},
}

func main() {
	peer.RunWithInput(func(lines <-chan string) error {
		if len(os.Args) < 3 {
			return fmt.Errorf("usage: examplepeer EXAMPLE ROLE -addr HOST:PORT [options]")
		}
		run := examples[os.Args[1]][os.Args[2]]
		if run == nil {
			return fmt.Errorf("there is no example and role %q", os.Args[1:3])
		}
		p := options(os.Args[3:])
		p.lines = lines
		return run(p)
	})
}

func options(arguments []string) *program {
	var p program
	flags := flag.NewFlagSet("examplepeer", flag.ExitOnError)
	flags.StringVar(&p.addr, "addr", "127.0.0.1:0", "address to listen on or to dial")
	flags.StringVar(&p.certs, "certs", "certs", "folder with the certificates")
	flags.StringVar(&p.dir, "dir", ".", "folder with the files")
	flags.StringVar(&p.id, "id", "client", "identification")
	flags.StringVar(&p.token, "token", "token", "token to send")
	flags.StringVar(&p.command, "command", "ip addr", "command that a host runs")
	flags.IntVar(&p.sessions, "sessions", 100, "number of concurrent sessions")
	flags.IntVar(&p.rounds, "rounds", 1, "how many times each session reads")
	flags.DurationVar(&p.interval, "interval", time.Second, "time between two messages or lines")
	flags.DurationVar(&p.wait, "wait", time.Second, "time before the first reconnection attempt")
	_ = flags.Parse(arguments)
	return &p
}
