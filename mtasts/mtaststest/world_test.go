package mtaststest_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// An attacker has forged an MX record. The policy does not list the host.
func ExampleNewWorld() {
	world := mtaststest.NewWorld()
	world.Publish("example.com", "1", mtaststest.Policy(mtasts.ModeEnforce, 24*time.Hour, "mx.example.com"))
	client := mtasts.New(new(cache.Memory), world.Options())
	defer client.Close()

	policy, err := client.PolicyFor(context.Background(), "example.com")
	if err != nil {
		log.Fatal(err)
	}
	for _, mx := range []string{"mx.example.com", "mx.attacker.example"} {
		_, err := policy.CheckMX(mx)
		fmt.Println(mx, err)
	}
	for _, event := range world.Events() {
		fmt.Println("reported:", event.MX, event.Result, event.Reason)
	}
	// Output:
	// mx.example.com <nil>
	// mx.attacker.example mtasts: example.com: mx.attacker.example: validation-failure: the MX host is not listed in the policy, which allows mx.example.com
	// reported: mx.attacker.example validation-failure mx-not-listed
}

func TestNamesAreCaseInsensitive(t *testing.T) {
	world := mtaststest.NewWorld()
	world.Publish("Example.COM.", "1", mtaststest.Policy(mtasts.ModeEnforce, 24*time.Hour, "mx.example.com"))
	world.AddMX("MX.example.com.", mtaststest.MX{})
	client := mtasts.New(new(cache.Memory), world.Options())
	defer client.Close()
	if p, err := client.PolicyFor(t.Context(), "example.com"); err != nil || p.Mode != mtasts.ModeEnforce {
		t.Errorf("%+v, %v", p, err)
	}
	if n := world.Requests("EXAMPLE.com"); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	conn, err := world.Dial(t.Context(), "tcp", "mx.Example.com:25")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	greeting := make([]byte, 100)
	if n, err := conn.Read(greeting); err != nil || !strings.HasPrefix(string(greeting[:n]), "220 mx.example.com ") {
		t.Errorf("%q, %v", greeting, err)
	}
}

// A test can have its own Report and still use Events.
func TestReportCanBeReplaced(t *testing.T) {
	world := mtaststest.NewWorld()
	world.Publish("example.com", "1", mtaststest.Policy(mtasts.ModeEnforce, time.Hour, "mx.example.com"))
	var mine []mtasts.Event
	opts := world.Options()
	opts.Report = func(e mtasts.Event) {
		mine = append(mine, e)
		world.Report(e)
	}
	client := mtasts.New(new(cache.Memory), opts)
	defer client.Close()
	policy, err := client.PolicyFor(t.Context(), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := policy.CheckMX("mx.attacker.example"); err == nil {
		t.Fatal("want a violation")
	}
	if events := world.Events(); len(mine) != 1 || len(events) != 1 || events[0].Reason != mine[0].Reason {
		t.Errorf("the test has %+v, the World has %+v", mine, events)
	}
}
