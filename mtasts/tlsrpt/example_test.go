package tlsrpt_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net/smtp"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
)

// A mail server that reports adds three things to the delivery loop of package mtasts. They
// are marked with "added".
func Example() {
	world := mtaststest.NewWorld()
	world.Publish("example.com", "1", mtaststest.Policy(mtasts.ModeTesting, 24*time.Hour, "mx.example.com"))
	world.AddMX("mx.example.com", mtaststest.MX{Certificate: mtaststest.Expired})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	// Added: the Collector. A mail server passes a file, from cache.OpenBolt.
	reports, err := tlsrpt.New(new(cache.Memory), tlsrpt.Options{
		Organization: "Example Sender",
		Contact:      "postmaster@sender.example",
		From:         "tls-reports@sender.example",
		SendMail:     func(ctx context.Context, from, to string, message []byte) error { return enqueue(to, message) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer reports.Close()
	go reports.Run(ctx)

	options := world.Options()
	options.Report = reports.Report // added
	client := mtasts.New(new(cache.Memory), options)
	defer client.Close()

	policy, err := client.PolicyFor(ctx, "example.com")
	if err != nil {
		log.Fatal(err)
	}
	host, err := policy.CheckMX("mx.example.com")
	if err != nil {
		log.Fatal(err)
	}
	conn, err := world.Dial(ctx, "tcp", "mx.example.com:25")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	host.Connection(conn.LocalAddr(), conn.RemoteAddr(), "") // added; net/smtp hides the name in the reply to EHLO
	c, err := smtp.NewClient(conn, host.Name)
	if err != nil {
		log.Fatal(err)
	}
	base := &tls.Config{RootCAs: world.Roots(), InsecureSkipVerify: true}
	if err := errors.Join(c.StartTLS(host.TLSConfig(base)), c.Noop()); err != nil {
		log.Fatal(host.AllowFallback(err))
	}
	state, _ := c.TLSConnectionState()
	fmt.Println("delivery is refused:", host.Verify(state) != nil)
	fmt.Println("outcomes for reports:", reports.Stats().Outcomes)
	// Output:
	// delivery is refused: false
	// outcomes for reports: 1
}

// enqueue puts a report into the queue of the mail server. The queue sends it as it sends
// other messages, but under mtasts.NoPolicy, so that nothing holds it back or counts it.
func enqueue(to string, message []byte) error { return nil }
