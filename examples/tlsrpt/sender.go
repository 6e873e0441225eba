package main

import (
	"bytes"
	"context"
	"net/netip"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/examples/internal/testnet"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
)

// newCollector returns what counts outcomes and sends the reports.
func newCollector(net *testnet.Net, r *receiver) (*tlsrpt.Collector, error) {
	store := new(cache.Memory) // a mail server uses a file: cache.OpenBolt
	return tlsrpt.New(store, tlsrpt.Options{
		Organization: "Example Sender",
		Contact:      "postmaster@sender.example",
		From:         "tls-reports@sender.example",

		// A mail server puts the message into its queue and returns nil. This one has no queue.
		// A mail server also signs the message: see the folder dkim.
		SendMail: func(ctx context.Context, from, to string, message []byte) error {
			err := net.Sender.Deliver(ctx, delivery.Message{From: from, To: []string{to}, Data: bytes.NewReader(message), TLSOptional: true}).Err()
			if err == nil {
				r.mailed()
			}
			return err
		},

		// These three are for the receiver on this machine. A mail server needs none of them.
		Resolver:  net.World.DNS,
		RootCAs:   r.roots(),
		AllowNets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
}

// open opens the client of the sender. report gets its events: a mail server passes the method
// Report of a [tlsrpt.Collector] or of [tlsrpt.Datagrams]. In its delivery loop it adds one call,
// [mtasts.Host.Connection]: see examples/internal/delivery/attempt.go.
func open(net *testnet.Net, report func(mtasts.Event)) {
	opts := net.World.Options()
	opts.Report = report
	net.Sender.Policies = mtasts.New(new(cache.Memory), opts)
}

// reportEarlier is for those who do not want to wait until tomorrow, when the reports about today
// go out. A report is first sent at a random time of the following day, and no later than 24 hours
// after that. So if each outcome is counted as one of yesterday and as one of the day before,
// exactly one of the two reports can be sent now.
func reportEarlier(collector *tlsrpt.Collector, e mtasts.Event) {
	const day = 24 * time.Hour
	for range 2 {
		e.Time = e.Time.Add(-day)
		collector.Report(e)
	}
}
