package mtaststest_test

import (
	"crypto/tls"
	"fmt"
	"log"
	"net/netip"
	"net/smtp"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// This MX host refuses mail in clear text, and has no user of that name inside TLS. The client
// connects to a socket.
func ExampleWorld_Listen() {
	world := mtaststest.NewWorld()
	defer world.Close()
	world.AddMX("mx.example.com", mtaststest.MX{
		Replies:    mtaststest.Replies{"MAIL": "530 5.7.0 Must issue a STARTTLS command first"},
		TLSReplies: mtaststest.Replies{"RCPT": "550-5.1.1 No such user\n550 5.1.1 See https://example.com/help"},
	})
	addr, err := world.Listen("mx.example.com", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	world.DNS.Set("mx.example.com", resolver.Records{Addr: []netip.Addr{addr.Addr()}})

	for _, secure := range []bool{false, true} {
		c, err := smtp.Dial(addr.String())
		if err != nil {
			log.Fatal(err)
		}
		if secure {
			fmt.Println(c.StartTLS(&tls.Config{ServerName: "mx.example.com", RootCAs: world.Roots()}))
		}
		fmt.Println(c.Mail("alice@sender.example"))
		fmt.Println(c.Rcpt("bob@example.com"))
		c.Quit()
	}
	// Output:
	// 530 "5.7.0 Must issue a STARTTLS command first"
	// 503 "5.5.1 Need MAIL command"
	// <nil>
	// <nil>
	// 550 "5.1.1 No such user\n5.1.1 See https://example.com/help"
}

// A test of a mail server can have a table of faults of MX hosts.
func ExampleMX() {
	for name, mx := range map[string]mtaststest.MX{
		"too busy":             {Replies: mtaststest.Replies{"": "421 4.3.2 Later"}},
		"lower-case starttls":  {Replies: mtaststest.Replies{"EHLO": "250-mx.example.com\n250 starttls"}},
		"TLS not available":    {Replies: mtaststest.Replies{"STARTTLS": "454 4.7.0 TLS not available"}},
		"an impostor":          {Certificate: mtaststest.WrongKey},
		"cut after TLS 1.2":    {MaxTLS: tls.VersionTLS12, TLSReplies: mtaststest.Replies{"": mtaststest.HangUp}},
		"no EHLO inside TLS":   {TLSReplies: mtaststest.Replies{"EHLO": "502 5.5.1 What?"}},
		"the message refused":  {TLSReplies: mtaststest.Replies{".": "550 5.7.1 No"}},
		"client certificate":   {ClientCertificate: true},
		"silent after RCPT TO": {TLSReplies: mtaststest.Replies{"RCPT": ""}},
	} {
		world := mtaststest.NewWorld()
		world.AddMX("mx.example.com", mx)
		_ = name // deliver through world.Dial
	}
}

// A server with its own Report also calls that of the World.
func ExampleWorld_Report() {
	world := mtaststest.NewWorld()
	opts := world.Options()
	opts.Report = func(e mtasts.Event) {
		fmt.Println("alarm:", e.MX, e.Reason)
		world.Report(e)
	}
	opts.Report(mtasts.Event{Kind: mtasts.EventSession, Time: time.Now(), MX: "mx.example.com", Reason: "smtp-454"})
	fmt.Println(len(world.Events()), "event")
	// Output:
	// alarm: mx.example.com smtp-454
	// 1 event
}

// This tests resolver.Fake.
func ExampleTestResolver() {
	_ = func(t *testing.T) { // TestFake
		mtaststest.TestResolver(t, func(_ *testing.T, zone map[string]resolver.Records) mtasts.Resolver {
			return &resolver.Fake{Names: zone}
		})
	}
}
