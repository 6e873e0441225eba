package mtasts_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

const day = 24 * time.Hour

// run starts Run and returns what ends it.
func (e *env) run() (stop func()) {
	e.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	client := e.client
	go func() { done <- client.Run(ctx) }()
	synctest.Wait()
	return func() {
		e.t.Helper()
		cancel()
		if err := <-done; err != nil {
			e.t.Errorf("Run: %v", err)
		}
	}
}

// recorder records when each policy host was asked.
type recorder struct {
	http.RoundTripper
	mu    sync.Mutex
	times map[string][]time.Time
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	if r.times == nil {
		r.times = make(map[string][]time.Time)
	}
	r.times[req.URL.Host] = append(r.times[req.URL.Host], time.Now())
	r.mu.Unlock()
	return r.RoundTripper.RoundTrip(req)
}

// record records the client's requests.
func (e *env) record() *recorder {
	r := &recorder{RoundTripper: e.opts.Transport}
	e.opts.Transport = r
	e.restart()
	return r
}

func TestRFC8461_3_3_PoliciesInUseAreRefreshedLongBeforeTheyExpire(t *testing.T) {
	for _, life := range []time.Duration{time.Hour, day, week, 365 * day} {
		t.Run(life.String(), func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				requests := e.record()
				e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, life, "mx.example.com"))
				defer e.run()()
				e.want(e.policy(), mtasts.ModeEnforce, "1")
				e.DNS.Set(txt, resolver.Records{}) // Section 10.2: whatever the TXT record says
				for range 60 {
					e.sleep(min(life/7, 10*day))
					e.want(e.policy(), mtasts.ModeEnforce, "1")
				}
				times := requests.times["mta-sts."+domain]
				gaps := make(map[time.Duration]bool)
				for i := 1; i < len(times); i++ {
					gap := times[i].Sub(times[i-1])
					gaps[gap] = true
					if gap < min(life, day)*3/10 || gap > day || gap > life*7/10 {
						t.Errorf("refresh %d came after %v; the life is %v", i, gap, life)
					}
				}
				if len(gaps) < 5 {
					t.Errorf("the times between refreshes are %v: not random", gaps)
				}
			})
		})
	}
}

func TestRFC8461_10_2_AnAttackerMustBlockForALifetimeLessADay(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		defer e.run()()
		for range 20 {
			e.DNS.Set(txt, resolver.Records{})
			e.SetPolicyHost(domain, mtaststest.PolicyHost{Unreachable: true})
			for end := time.Now().Add(week - day); time.Now().Before(end); {
				e.sleep(6 * time.Hour)
				e.want(e.policy(), mtasts.ModeEnforce, "1")
			}
			e.publish("1", "mx.example.com") // for a day
			for range 4 {
				e.sleep(6 * time.Hour)
				e.want(e.policy(), mtasts.ModeEnforce, "1")
			}
		}
	})
}

func TestAnIdleDomainExpiresAndIsRemoved(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		requests := e.record()
		e.cachePolicy()
		stop := e.run()
		e.sleep(90 * day)
		times := requests.times["mta-sts."+domain]
		if last := times[len(times)-1].Sub(times[0]); last < 28*day || last > 31*day {
			t.Errorf("the last refresh was %v after the last use, want about 30 days", last)
		}
		stop()
		if keys, _, err := e.store.Scan(t.Context(), "", 10); err != nil || len(keys) != 0 {
			t.Errorf("the store has %v, %v; want nothing", keys, err)
		}
	})
}

func TestUseIsKeptAcrossRestartsAndSeldomWritten(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		counting := &countingStore{Store: e.store}
		e.store = counting
		e.restart()
		e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, 365*day, "mx.example.com"))
		e.SetPolicyHost("other.example", mtaststest.PolicyHost{})
		e.want(e.policy(), mtasts.ModeEnforce, "1")
		for range 100 { // in use, but each process runs for six hours only
			stop := e.run()
			for range 36 {
				e.sleep(10 * time.Minute)
				e.policy()
			}
			stop()
			e.restart()
		}
		if puts := counting.count(); puts > 100 {
			t.Errorf("%d writes for 3600 look-ups in 25 days", puts)
		}
		// Now the domain is idle: refreshes go on for 30 days after the last use.
		requests := e.record()
		stop := e.run()
		e.sleep(60 * day)
		stop()
		times := requests.times["mta-sts."+domain]
		if len(times) == 0 || time.Since(times[len(times)-1]) < 29*day || time.Since(times[len(times)-1]) > 33*day {
			t.Errorf("%d refreshes; the last one was at %v", len(times), times[max(0, len(times)-1):])
		}
	})
}

// countingStore counts writes.
type countingStore struct {
	mtasts.Store
	mu   sync.Mutex
	puts int
}

func (s *countingStore) Write(ctx context.Context, changes []cache.Change) error {
	s.mu.Lock()
	s.puts++
	s.mu.Unlock()
	return s.Store.Write(ctx, changes)
}

func (s *countingStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puts
}

func TestModeNoneEndsEnforcementAtTheFirstRefresh(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		defer e.run()()
		e.SetPolicyHost(domain, mtaststest.PolicyHost{Body: mtaststest.Policy(mtasts.ModeNone, day)})
		e.sleep(day)
		e.want(e.policy(), mtasts.ModeNone, "1")
		changes := e.events(mtasts.EventChange)
		if len(changes) != 2 || changes[0].Reason != "enforcement-ended" || changes[1].Reason != "same-id-other-policy" {
			t.Errorf("changes are %+v", changes)
		}
	})
}

func TestARestartIsNoBurst(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		const domains = 2000
		for i := range domains {
			name := fmt.Sprintf("d%d.example", i)
			e.Publish(name, "1", mtaststest.Policy(mtasts.ModeEnforce, week, "mx."+name))
			e.policyFor(name)
		}
		e.stop()
		e.sleep(3 * day) // all are overdue
		requests := &recorder{RoundTripper: e.opts.Transport}
		e.opts.Transport = requests
		e.start()
		defer e.run()()
		minutes := make(map[int]int)
		start := time.Now()
		e.sleep(2 * time.Hour)
		done := 0
		for _, times := range requests.times {
			done++
			minutes[int(times[0].Sub(start)/time.Minute)]++
		}
		if done != domains {
			t.Errorf("%d domains were refreshed within two hours, want all %d", done, domains)
		}
		for minute, n := range minutes {
			if n > 5*domains/60 {
				t.Errorf("%d refreshes in minute %d", n, minute)
			}
		}
	})
}

func TestDomainsOnOnePolicyHostAreSpaced(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		const domains = 500
		shared := netip.MustParseAddr("192.0.2.1")
		for i := range domains {
			name := fmt.Sprintf("d%d.example", i)
			e.Publish(name, "1", mtaststest.Policy(mtasts.ModeEnforce, 6*time.Minute, "mx."+name)) // all due after five minutes
			e.DNS.Set("mta-sts."+name, resolver.Records{Addr: []netip.Addr{shared}})
			e.policyFor(name)
		}
		requests := e.record()
		stop := e.run()
		e.sleep(6 * time.Minute)
		stop()
		var all []time.Time
		for _, times := range requests.times {
			all = append(all, times...)
		}
		perSecond := make(map[int64]int)
		for _, at := range all {
			perSecond[at.Unix()]++
		}
		for second, n := range perSecond {
			if n > 21 {
				t.Errorf("%d requests to one address in second %d", n, second)
			}
		}
		if len(all) < domains {
			t.Errorf("%d requests, want one for each of %d domains", len(all), domains)
		}
	})
}

func TestProcessesThatShareAStoreShareTheWork(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		requests := e.record()
		e.cachePolicy()
		second := mtasts.New(e.store, e.opts)
		defer e.run()()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- second.Run(ctx) }()
		for range 30 {
			e.sleep(day)
			e.want(e.policy(), mtasts.ModeEnforce, "1")
			if p, err := second.PolicyFor(t.Context(), domain); err != nil || p.Mode != mtasts.ModeEnforce {
				t.Fatal(p, err)
			}
		}
		cancel()
		if err := errors.Join(<-done, second.Close()); err != nil {
			t.Error(err)
		}
		times := requests.times["mta-sts."+domain]
		for i := 1; i < len(times); i++ {
			if gap := times[i].Sub(times[i-1]); gap < 3*day/10 {
				t.Errorf("refresh %d came %v after the one before", i, gap)
			}
		}
		if len(times) > 30*10/3 {
			t.Errorf("%d refreshes in 30 days", len(times))
		}
	})
}

func TestOnlyOneRunAtATime(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		stop := e.run()
		if err := e.client.Run(t.Context()); err == nil {
			t.Error("a second Run returned nil")
		}
		stop()
		e.run()()
	})
}

func TestCloseEndsRun(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.SetPolicyHost(domain, mtaststest.PolicyHost{Delay: time.Hour}) // a refresh is under way
		done := make(chan error)
		client := e.client
		go func() { done <- client.Run(context.Background()) }()
		e.sleep(day)
		e.restart()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
