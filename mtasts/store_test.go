package mtasts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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

var errBroken = errors.New("broken\x1b[2J store")

func TestAStoreThatCannotBeReadDefers(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		var log strings.Builder
		e.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
		e.cachePolicy()
		broken := &brokenStore{Store: e.store, getErr: errBroken}
		e.store = broken
		e.restart()
		e.blockDNS(resolver.ServFail)
		p, err := e.client.PolicyFor(t.Context(), domain)
		if !errors.Is(err, errBroken) || p != nil {
			t.Fatalf("policy %+v, error %v; want the store's error: there may be a policy", p, err)
		}
		if strings.Contains(err.Error(), "\x1b") {
			t.Errorf("the error holds a control character: %q", err)
		}
		if ev := e.events(mtasts.EventStore); len(ev) != 1 || !errors.Is(ev[0].Err, errBroken) {
			t.Errorf("events are %+v, want one of the store", ev)
		}
		if _, err := e.client.PolicyFor(t.Context(), "absent.example"); err == nil {
			t.Error("no error for another domain")
		}
		broken.fail(nil, nil)
		e.want(e.policyFor("absent.example"), mtasts.ModeNone, "")
		e.policyFor("other.example")
		e.want(e.policy(), mtasts.ModeEnforce, "1")
		if ev := e.events(mtasts.EventStore); len(ev) != 3 || ev[2].Err != nil || ev[2].Reason != "store-readable" {
			t.Errorf("events are %+v, want one more when the store has recovered", ev)
		}
		if text := log.String(); strings.Count(text, "level=ERROR") != 1 || strings.Count(text, "level=INFO") != 1 {
			t.Errorf("want one line for the failure and one for the recovery:\n%s", text)
		}
	})
}

func TestAStoreThatCannotBeWrittenLosesNothing(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		var log strings.Builder
		e.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
		e.opts.MemoryEntries = 1
		broken := &brokenStore{Store: e.store, putErr: errBroken}
		e.store = broken
		e.restart()
		e.cachePolicy()
		e.blockDNS(resolver.ServFail)
		e.policyFor("other.example") // memory holds one
		e.policyFor("third.example")
		e.want(e.policy(), mtasts.ModeEnforce, "1")
		if ev := e.events(mtasts.EventStore); len(ev) == 0 || !errors.Is(ev[0].Err, errBroken) {
			t.Errorf("events are %+v, want one of the store", ev)
		}
		broken.fail(nil, nil)
		e.sleep(2 * time.Minute)
		ev := e.events(mtasts.EventStore)
		if last := ev[len(ev)-1]; last.Err != nil || last.Reason != "store-writable" {
			t.Errorf("the last event is %+v, want one that says that the store has recovered", last)
		}
		e.restart()
		e.want(e.policy(), mtasts.ModeEnforce, "1")
		if text := log.String(); strings.Count(text, "level=ERROR") != 1 || strings.Count(text, "level=INFO") != 1 {
			t.Errorf("want one line for the failure and one for the recovery:\n%s", text)
		}
	})
}

func TestWhatWasDroppedUnsavedIsStoredAfterTheNextCheck(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		broken := &brokenStore{Store: e.store, putErr: errBroken}
		e.store = broken
		e.opts.MemoryEntries = 100_000
		e.restart()
		const domains = 1100
		text := mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.com") + strings.Repeat("#", 63<<10)
		name := func(i int) string { return fmt.Sprintf("d%d.example", i) }
		for i := range domains { // together more than maxDirty
			e.Publish(name(i), "1", text)
			e.policyFor(name(i))
		}
		broken.fail(nil, nil)
		e.sleep(2 * time.Hour)
		if keys, _, err := e.store.Scan(t.Context(), "", 2*domains); err != nil || len(keys) < domains/2 || len(keys) == domains {
			t.Errorf("of %d policies %d were held, %v; want most, and no more than 64 MiB", domains, len(keys), err)
		}
		for i := range domains {
			e.policyFor(name(i))
		}
		keys, _, err := e.store.Scan(t.Context(), "", 2*domains)
		if err != nil || len(keys) != domains {
			t.Errorf("%d of %d policies are stored, %v", len(keys), domains, err)
		}
	})
}

// slowStore takes five seconds for each write.
type slowStore struct{ mtasts.Store }

func (s slowStore) Write(ctx context.Context, changes []cache.Change) error {
	time.Sleep(5 * time.Second) // in a bubble
	return s.Store.Write(ctx, changes)
}

func TestAPolicyIsAvailableWhileItIsBeingStored(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.MemoryEntries = 1
		e.store = slowStore{e.store}
		e.restart()
		e.cachePolicy()
		e.blockDNS(resolver.ServFail)
		e.policyFor("other.example") // memory holds one
		e.policyFor("third.example")
		e.want(e.policy(), mtasts.ModeEnforce, "1")
	})
}

func TestCloseStoresWhatIsUnsavedOrSaysWhatIsLost(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		broken := &brokenStore{Store: e.store, putErr: errBroken}
		e.store = broken
		e.restart()
		e.cachePolicy()
		broken.fail(nil, nil)
		e.restart()
		e.blockDNS(resolver.ServFail)
		e.want(e.policy(), mtasts.ModeEnforce, "1")

		broken.fail(nil, errBroken)
		e.Publish("other.example", "1", mtaststest.Policy(mtasts.ModeEnforce, week, "mx.other.example"))
		e.policyFor("other.example")
		if err := e.client.Close(); !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "could not be stored: 1") {
			t.Errorf("Close: %v; want what is lost and why", err)
		}
	})
}

func TestADamagedEntryDefersUntilTheLivePolicyTakesItsPlace(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.stop()
		value, _, err := e.store.Get(t.Context(), domain)
		if err != nil {
			t.Fatal(err)
		}
		value[len(value)/2] ^= 1
		later := time.Now().Add(time.Second)
		if err := e.store.Write(t.Context(), []cache.Change{{Key: domain, Value: value, Fetched: later, Expires: later.Add(week)}}); err != nil {
			t.Fatal(err)
		}
		e.start()
		e.blockDNS(resolver.ServFail)
		queries := e.DNS.Queries(txt)
		if p, err := e.client.PolicyFor(t.Context(), domain); err == nil {
			t.Fatalf("policy %+v from a damaged entry", p)
		}
		for range 10 {
			if _, err := e.client.PolicyFor(t.Context(), domain); err == nil {
				t.Fatal("a policy from a damaged entry")
			}
		}
		if n := e.DNS.Queries(txt) - queries; n != 1 {
			t.Errorf("%d queries for 11 answers at one moment, want 1", n)
		}
		e.publish("1", "mx.example.com")
		e.sleep(30 * time.Second)
		e.want(e.policy(), mtasts.ModeEnforce, "1")
		e.blockDNS(resolver.ServFail)
		e.restart()
		e.want(e.policy(), mtasts.ModeEnforce, "1")
	})
}

func TestADamagedRecordInAFileIsReplacedByTheLivePolicy(t *testing.T) {
	w := mtaststest.NewWorld()
	w.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.com"))
	path := filepath.Join(t.TempDir(), "policies.db")
	ask := func() (*mtasts.Policy, error) {
		t.Helper()
		c, err := mtasts.Open(path, w.Options())
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.PolicyFor(t.Context(), domain)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		return p, err
	}
	if p, err := ask(); err != nil || p.Mode != mtasts.ModeEnforce {
		t.Fatal(p, err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(file, []byte("mode: enforce"), []byte("mode: enforcf")), 0o600); err != nil {
		t.Fatal(err)
	}
	w.DNS.Set(txt, resolver.Records{Fail: resolver.ServFail})
	if p, err := ask(); err == nil {
		t.Fatalf("policy %+v from a damaged record", p)
	}
	w.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.com"))
	if p, err := ask(); err != nil || p.Mode != mtasts.ModeEnforce {
		t.Fatalf("%+v, %v: the live policy did not take the place of the damaged one", p, err)
	}
	w.DNS.Set(txt, resolver.Records{Fail: resolver.ServFail})
	if p, err := ask(); err != nil || p.Mode != mtasts.ModeEnforce {
		t.Errorf("%+v, %v: the file was not repaired", p, err)
	}
}

func TestOpenKeepsPoliciesAcrossRestarts(t *testing.T) {
	w := mtaststest.NewWorld()
	w.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.com"))
	path := filepath.Join(t.TempDir(), "policies.db")
	for i := range 2 {
		c, err := mtasts.Open(path, w.Options())
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.PolicyFor(t.Context(), domain)
		if err != nil || p.Mode != mtasts.ModeEnforce {
			t.Fatalf("run %d: %+v, %v", i, p, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("the second Close: %v", err)
		}
		w.DNS.Set(txt, resolver.Records{Fail: resolver.Timeout})
	}
	if n := w.Requests(domain); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestOpenSaysWhatIsWrongWithThePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "policies.db")
	_, err := mtasts.Open(path, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "mtasts: ") || strings.Count(err.Error(), "mtasts:") != 1 || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v", err)
	}
}

// Two domains with the same policy file share it in memory, fetched or stored.
func TestAClientSharesPolicyFiles(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		const other = "example.org"
		text := mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.net")
		e.Publish(domain, "1", text)
		e.Publish(other, "1", text)
		for _, how := range []string{"fetched", "stored"} {
			a, b := e.policyFor(domain), e.policyFor(other)
			if &a.MX[0] != &b.MX[0] || a.MX[0] != "mx.example.net" {
				t.Errorf("%s: the patterns are there twice: %q, %q", how, a.MX, b.MX)
			}
			e.restart()
		}
	})
}
