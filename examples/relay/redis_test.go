package main

import (
	"net/smtp"
	"path/filepath"
	"testing"

	"github.com/mtasts/go-mtasts/cache/rediscache"
	"github.com/mtasts/go-mtasts/examples/internal/testredis"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// What another relay has cached is enforced here, although an attacker hides the policy.
func TestRedis(t *testing.T) {
	address, _ := testredis.Start(t)
	world := mtaststest.NewWorld()
	world.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, week, mx))
	option, err := rediscache.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	other, err := openPolicies(filepath.Join(t.TempDir(), "other.db"), &option, world.Options(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := other.PolicyFor(t.Context(), domain); err != nil || p.Mode != mtasts.ModeEnforce {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}

	r := startRelay(t, "-redis", address)
	if err := smtp.SendMail(r.address, nil, sender, []string{"b@" + domain}, []byte(text)); err != nil {
		t.Fatal(err)
	}
	r.log.await("under mode enforce")
}
