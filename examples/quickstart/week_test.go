package main

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/examples/internal/testnet"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

const day = 24 * time.Hour

// Run refreshes a policy that is in use, and reports when it cannot.
func TestWeek(t *testing.T) {
	var out strings.Builder
	synctest.Test(t, func(t *testing.T) {
		world := mtaststest.NewWorld()
		publish := func() {
			world.Publish(testnet.EnforceDomain, "1", mtaststest.Policy(mtasts.ModeEnforce, testnet.Week, testnet.EnforceMX))
		}
		publish()
		client := mtasts.New(new(cache.Memory), world.Options())
		go client.Run(t.Context())
		defer client.Close()
		policy := func() *mtasts.Policy {
			p, err := client.PolicyFor(t.Context(), testnet.EnforceDomain)
			if err != nil || p.Mode != mtasts.ModeEnforce {
				t.Fatalf("mode %s, %v, want enforce", p.Mode, err)
			}
			return p
		}

		first := policy().Fetched
		world.DNS.Set("_mta-sts."+testnet.EnforceDomain, resolver.Records{})
		time.Sleep(day)
		last := policy().Fetched
		if last.After(first) {
			fmt.Fprintln(&out, "  The policy is refreshed within a day, though its TXT record is gone.")
		}

		world.DNS.Set("_mta-sts."+testnet.EnforceDomain, resolver.Records{Fail: resolver.ServFail})
		world.SetPolicyHost(testnet.EnforceDomain, mtaststest.PolicyHost{Unreachable: true})
		fmt.Fprintln(&out, "  Then DNS and policy host fail. Alarms, by days since the last fetch:")
		severity := slog.LevelInfo - 1 // of the last alarm that was printed
		for seen, blocked := 0, true; ; time.Sleep(time.Hour) {
			policy()
			for _, e := range world.Events()[seen:] {
				seen++
				days := int(e.Time.Sub(last) / day)
				switch {
				case e.Kind != mtasts.EventRefresh:
				case e.Err == nil:
					fmt.Fprintf(&out, "  %d  Both answer again, and the policy is refreshed. It was enforced throughout.\n", days)
					return
				case e.Severity > severity:
					severity = e.Severity
					fmt.Fprintf(&out, "  %d  %-7s  %s\n", days, e.Severity, e.Result)
				}
			}
			if blocked && severity > slog.LevelError {
				blocked = false
				publish()
			}
		}
	})
	t.Logf("a policy of mode enforce that is valid for a week:\n%s", &out)
	if out.String() != weekPlayed {
		t.Errorf("that differs from week.go:\n%s", weekPlayed)
	}
}
