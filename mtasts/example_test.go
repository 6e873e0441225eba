package mtasts_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

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

// Under mode enforce, AllowFallback says that the message must not go to this host.
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
