// Tlsrpt shows how a mail server reports to domains how TLS fared when it sent them mail (SMTP
// TLS reporting, RFC 8460). It needs no network and no set-up:
//
//	go run ./examples/tlsrpt
//
// It sends nine messages, four of which an attacker blocks, and then the reports about them.
// One domain gets its report by HTTPS, the other by mail. The output is made of what the
// receivers have got. The Internet is that of examples/quickstart.
//
// With -socket it sends no reports, but each outcome as a datagram to the collector of sys4's
// tlsrpt-reporter, as Postfix does. "-socket -" prints the datagrams instead.
//
// Start with sender.go, which has all that a mail server adds to report. messages.go has the
// messages, receiver.go what a receiver does with a report, print.go the output. The folder dkim
// shows how to sign reports.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/testnet"
	"github.com/mtasts/go-mtasts/mtasts"
)

const usage = `usage: tlsrpt [-socket path]

Tlsrpt sends nine messages, four of which an attacker blocks, and then TLS
reports about them (RFC 8460). It prints what the receivers of the reports got.
All of it happens on this machine.

Flags:
`

func main() {
	var socket string
	f := flag.NewFlagSet("tlsrpt", flag.ExitOnError)
	f.Usage = func() {
		fmt.Fprint(f.Output(), usage)
		f.PrintDefaults()
	}
	f.StringVar(&socket, "socket", "", "send no reports, but each outcome as a datagram to the Unix\n"+
		"socket at this `path`, for the collector of sys4's tlsrpt-reporter;\n"+
		"\"-\" prints the datagrams")
	f.Parse(os.Args[1:])
	if f.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected argument %q\n", f.Arg(0))
		os.Exit(2)
	}
	if err := run(context.Background(), os.Stdout, socket); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run sends the messages and then the reports, or datagrams to socket, and prints to w.
func run(ctx context.Context, w io.Writer, socket string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // far more than it takes
	defer cancel()
	net, err := testnet.New()
	if err != nil {
		return err
	}
	defer net.Close()
	r := newReceiver(net)
	defer r.close()

	if socket != "" {
		return runDatagrams(ctx, w, net, socket)
	}
	collector, err := newCollector(net, r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, collector.Close()) }()
	open(net, func(e mtasts.Event) { reportEarlier(collector, e) })
	if err := sendMessages(ctx, w, net); err != nil {
		return err
	}
	printRecords(w, net)

	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	go func() { ended <- collector.Run(ctx) }()
	reports, err := r.wait(ctx)
	stop()
	<-ended
	if err != nil {
		return err
	}
	printTable(w, reports)
	return printJSON(w, reports[testnet.TestingDomain])
}
