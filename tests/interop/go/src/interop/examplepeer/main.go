// examplepeer plays the Go program of each pair of examples: with the names,
// streams and data of those in examples/, and the manners of go-wirenet.
//
//	examplepeer EXAMPLE ROLE -addr HOST:PORT [options]
//
// It runs until it is done, until the other side ends its session, or until the
// test says "stop" on a line of its standard input.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"interop/peer"
)

// program is a role at work, with the options that it may need.
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
		"aws":          showToken("aws", rightToken),
		"digitalocean": showToken("digitalocean", wrongToken),
		"macbook":      showToken("macbook", rightToken),
	},
	"tls":       {"server": tellNews, "client": readNews},
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
			return fmt.Errorf("no example and role")
		}
		play := examples[os.Args[1]][os.Args[2]]
		if play == nil {
			return fmt.Errorf("no example and role %q", os.Args[1:3])
		}
		p := options(os.Args[3:])
		p.lines = lines
		return play(p)
	})
}

func options(arguments []string) *program {
	var p program
	flags := flag.NewFlagSet("examplepeer", flag.ExitOnError)
	flags.StringVar(&p.addr, "addr", "127.0.0.1:0", "where")
	flags.StringVar(&p.certs, "certs", "certs", "folder of the certificates")
	flags.StringVar(&p.dir, "dir", ".", "folder of the files")
	flags.StringVar(&p.id, "id", "client", "identification")
	flags.StringVar(&p.token, "token", "token", "token that this side shows")
	flags.StringVar(&p.command, "command", "ip addr", "what a host runs")
	flags.IntVar(&p.sessions, "sessions", 100, "sessions at once")
	flags.IntVar(&p.rounds, "rounds", 1, "how often each session reads")
	flags.DurationVar(&p.interval, "interval", time.Second, "between two messages, or two lines")
	flags.DurationVar(&p.wait, "wait", time.Second, "before the first try to connect again")
	_ = flags.Parse(arguments)
	return &p
}
