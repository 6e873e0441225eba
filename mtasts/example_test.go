package mtasts_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// The delivery loop of a mail server, which has looked up the MX hosts of the
// recipient's domain. Its deliver does SMTP: it gives the configuration to STARTTLS,
// and asks fallback when TLS cannot be had.
func Example() {
	ctx := context.Background()
	sts, err := mtasts.Open("/var/lib/mta/mta-sts.db", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sts.Close()
	go sts.Run(ctx)

	send := func(domain string, mxs []string, deliver func(mx string, cfg *tls.Config, fallback func(error) error) error) error {
		policy, err := sts.PolicyFor(ctx, domain)
		if err != nil {
			return err // not known: defer the message
		}
		last := errors.New("the domain has no MX host")
		for _, mx := range mxs { // in MX order, never filtered beforehand
			host, err := policy.CheckMX(mx)
			if err == nil {
				err = deliver(mx, host.TLSConfig(nil), host.AllowFallback)
			}
			if err == nil {
				return nil
			}
			last = err
		}
		return last // defer; before a bounce, ask sts.Recheck
	}
	_ = send
}

// A domain without a policy has one of mode none, which says why.
func ExampleClient_PolicyFor() {
	world := mtaststest.NewWorld()
	client := mtasts.New(new(cache.Memory), world.Options())
	defer client.Close()

	policy, err := client.PolicyFor(context.Background(), "example.com")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(policy.Mode)
	fmt.Println(policy.Cause)
	// Output:
	// none
	// mtasts: example.com: no TXT record begins with "v=STSv1;": lookup _mta-sts.example.com.: no such host
}

// Under mode enforce, Fallback says that the message must not go to this host.
func ExampleHost_AllowFallback() {
	world := mtaststest.NewWorld()
	world.Publish("example.com", "1", mtaststest.Policy(mtasts.ModeEnforce, 24*time.Hour, "*.example.com"))
	client := mtasts.New(new(cache.Memory), world.Options())
	defer client.Close()

	policy, err := client.PolicyFor(context.Background(), "example.com")
	if err != nil {
		log.Fatal(err)
	}
	host, err := policy.CheckMX("mx.example.com")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(host.AllowFallback(mtasts.ErrNoSTARTTLS))
	// Output:
	// mtasts: example.com: mx.example.com: starttls-not-supported: no STARTTLS
}
