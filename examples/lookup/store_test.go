package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

const hints = `# domains with a policy
c0.example
c1.example   # the second
good.example.

none.example
broken.example
lame.example
not a domain
`

// warmed is a stage whose sender has warmed its cache.
func (s *stage) warmed() string {
	s.t.Helper()
	s.good("c0.example")
	s.good("c1.example")
	s.good("good.example")
	s.publish("c1.example", mtaststest.Policy(mtasts.ModeTesting, time.Hour, "*.c1.example"))
	s.publish("broken.example", "mode: enforce")
	s.DNS.Set("_mta-sts.lame.example", resolver.Records{Fail: resolver.ServFail})
	if err := os.WriteFile(filepath.Join(s.dir, "hints"), []byte(hints), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.session("warm", "-db", "@/mta-sts.db", "@/hints")
}

func TestStore(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		out := s.warmed()
		run := func(args string) { out += "\n" + s.session(strings.Fields(args)...) }
		run("warm -db @/mta-sts.db @/hints")
		time.Sleep(2 * time.Hour)
		run("cached -db @/mta-sts.db")
		run("cached -db @/mta-sts.db C1.example. other.example")
		run("check @/mta-sts.db")
		run("forget -db @/mta-sts.db c0.example other.example")
		run("cached -db @/mta-sts.db c0.example")
		s.publish("good.example", mtaststest.Policy(mtasts.ModeEnforce, month, "mx.good.example", "mx2.good.example"))
		run("-db @/mta-sts.db good.example")
		run("-db @/mta-sts.db good.example c1.example c0.example")
		run("cached -db @/mta-sts.db " + strings.Repeat("a", 300))
		run("forget -db @/mta-sts.db [192.0.2.1]")
		run("-db @/mta-sts.db good.example " + strings.Repeat("a", 70))
		golden(t, "store", out)
	})
}

func TestCheckFindsDamage(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		s.warmed()
		store, err := cache.OpenBolt(filepath.Join(s.dir, "mta-sts.db"))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if err := store.Write(t.Context(), []cache.Change{{Key: "damaged.example", Value: []byte("\x1b[2J"), Fetched: now, Expires: now.Add(month)}}); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		out := s.session("check", "@/mta-sts.db")
		out += "\n" + s.session("cached", "-db", "@/mta-sts.db")
		out += "\n" + s.session("cached", "-db", "@/mta-sts.db", "damaged.example")
		out += "\n" + s.session("forget", "-db", "@/mta-sts.db", "damaged.example")
		out += "\n" + s.session("check", "@/mta-sts.db")
		golden(t, "damage", out)
	})
}

// A store that cannot be had is an error, and is not made.
func TestStoreErrors(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		s.warmed()
		store, err := cache.OpenBolt(filepath.Join(s.dir, "mta-sts.db"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, "text"), []byte(strings.Repeat("no store\n", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, "empty"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		out := ""
		for _, args := range []string{
			"cached -db @/mta-sts.db", "warm -db @/mta-sts.db @/hints", "-db @/mta-sts.db example.com",
			"cached -db @/missing.db", "check @/missing.db", "forget -db @/missing.db example.com", "-db @/missing.db example.com",
			"-", "warm -db @/new.db -", "check @/text", "check @", "check @/empty", "warm -db @/new.db @/missing",
		} {
			out += s.session(strings.Fields(args)...) + "\n"
		}
		golden(t, "store-errors", out)
		for _, name := range []string{"missing.db", "new.db"} {
			if _, err := os.Stat(filepath.Join(s.dir, name)); err == nil {
				t.Errorf("%s was made", name)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// An interrupted warm keeps what it has.
func TestWarmInterrupted(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		s.good("c0.example")
		s.DNS.Set("_mta-sts.slow.example", resolver.Records{Delay: time.Second})
		s.stdin = "c0.example\nslow.example\n"
		ctx, cancel := context.WithTimeout(s.context, time.Second/2)
		defer cancel()
		s.context = ctx
		status, out, log := s.lookup("warm", "-db", "@/mta-sts.db", "-")
		if status != exitUnknown || !strings.Contains(out, "1 fetched") || !strings.Contains(log, "interrupted after 1 of 2") {
			t.Errorf("exit status %d\n%s%s", status, out, log)
		}
		s.context = t.Context()
		if _, out, _ := s.lookup("cached", "-db", "@/mta-sts.db", "c0.example"); !strings.Contains(out, "mode: enforce") {
			t.Errorf("%s", out)
		}
	})
}
