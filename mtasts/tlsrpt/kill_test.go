package tlsrpt_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
	"github.com/mtasts/go-mtasts/resolver"
)

// kill ends the process as a kill does: nothing more is written.
func (r *rig) kill() {
	r.t.Helper()
	store := r.store.(*mortalStore)
	store.die()
	r.stop()
	r.collector.Close()
	r.store = &mortalStore{Store: store.Store}
	r.start()
}

// A mortalStore is a store whose process can be killed.
type mortalStore struct {
	mtasts.Store
	mu     sync.Mutex
	failed error
}

func (s *mortalStore) die() { s.fail(errors.New("killed")) }

func (s *mortalStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
}

func (s *mortalStore) Write(ctx context.Context, changes []cache.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	return s.Store.Write(ctx, changes)
}

func mortal(t *testing.T, test func(t *testing.T, r *rig)) {
	play(t, func(t *testing.T, r *rig) {
		r.store = &mortalStore{Store: r.store}
		r.restart()
		test(t, r)
	})
}

func TestAKillLosesTheLastSecondsOnly(t *testing.T) {
	mortal(t, func(t *testing.T, r *rig) {
		r.wants(domain, "mailto:"+byMail)
		for range 20 {
			r.sleep(time.Minute)
			r.count(domain, 1)
			r.sleep(10 * time.Second)
			r.kill()
		}
		r.count(domain, 1)
		r.restart() // an orderly end loses nothing
		r.sleep(2 * oneDay)
		if got := r.reports(); len(got) != 1 || sum(got) != 21 {
			t.Errorf("got %d reports of %d sessions, want one of 21", len(got), sum(got))
		}
	})
}

// A write that fails leaves none of the entries behind that would have been written after it.
func TestAKillAfterTheStoreHasFailedLosesNothing(t *testing.T) {
	mortal(t, func(t *testing.T, r *rig) {
		store := r.store.(*mortalStore)
		store.fail(errFull)
		const n = 2500 // which take several writes
		for i := range n {
			r.count(fmt.Sprintf("d%d.example", i), 1)
		}
		r.sleep(10 * time.Second)
		store.fail(nil)
		r.sleep(2 * time.Minute)
		r.kill()
		r.sleep(2 * oneDay)
		if s := r.collector.Stats(); s.Unwanted != n {
			t.Errorf("%d outcomes are stored, want %d", s.Unwanted, n)
		}
	})
}

// A kill while a report is on its way must not send it twice.
func TestAKillBetweenSendingAndItsAnswer(t *testing.T) {
	mortal(t, func(t *testing.T, r *rig) {
		r.wants(domain, "mailto:"+byMail)
		sent := make(chan bool)
		r.answers(byMail, func(context.Context) error {
			r.store.(*mortalStore).die()
			close(sent)
			return nil
		})
		r.count(domain, 3)
		<-sent
		r.answers(byMail, nil)
		r.kill()
		r.sleep(3 * oneDay)
		if got := r.reports(); len(got) != 1 {
			t.Errorf("%d reports, want 1", len(got))
		}
		if s := r.collector.Stats(); s.Unconfirmed != 3 || s.Reported+s.Dropped != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestWhatCannotBeNotedIsNotSent(t *testing.T) {
	mortal(t, func(t *testing.T, r *rig) {
		store := r.store.(*mortalStore)
		r.wants(domain, "mailto:"+byMail)
		r.count(domain, 3)
		r.sleep(10 * time.Second)
		store.fail(errFull)
		r.count(domain, 4)
		r.sleep(oneDay + 20*time.Hour)
		r.count(domain, 1)
		if n := len(r.reports()); n != 0 {
			t.Errorf("%d reports are sent", n)
		}
		store.fail(nil)
		r.sleep(2 * oneDay)
		if got := r.reports(); len(got) != 2 || sum(got) != 8 {
			t.Errorf("got %d reports of %d sessions, want 2 of 8: %+v", len(got), sum(got), r.collector.Stats())
		}
		if s := r.collector.Stats(); s.StoreErrors == 0 || s.Dropped != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestWhatIsTooOldIsDropped(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.wants(domain, "mailto:"+byMail)
		r.stop() // but the collector counts
		for range 5 {
			r.count(domain, 1)
			r.sleep(oneDay)
		}
		r.restart()
		r.sleep(2 * oneDay)
		s := r.collector.Stats()
		if got := r.reports(); sum(got)+int(s.Dropped) != 5 || len(got) < 1 || len(got) > 3 {
			t.Errorf("%d reports, stats %+v", len(got), s)
		}
		for _, d := range r.reports() {
			if age := d.at.Sub(d.report.End); age > 45*time.Hour {
				t.Errorf("a report comes %v after its day", age)
			}
		}
	})
}

func TestMemoryAndReportsAreBounded(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.wants(domain, "mailto:"+byMail)
		const n = 5000
		for i := range n {
			if err := r.collector.Add(tlsrpt.Outcome{Domain: domain, Type: tlsrpt.TypeTLSA, Policy: fmt.Sprintf("3 1 1 %0100d", i),
				MX: mx, HELO: fmt.Sprintf("%0300d\r\n\xff", i), Result: mtasts.ResultValidationFailure}); err != nil {
				t.Fatal(err)
			}
		}
		if memory := r.collector.Stats().Memory; memory > 1<<20 {
			t.Errorf("%d octets", memory)
		}
		got := r.theReport()
		failures, details := 0, 0
		for _, p := range got {
			failures += int(p.Failures)
			for _, d := range p.Details {
				details += int(d.Count)
			}
		}
		if failures != n || details == 0 || details > n {
			t.Errorf("%d failures, want %d; %d in details", failures, n, details)
		}
	})
}

func TestADNSFailureIsNoAbsence(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.DNS.Set("_smtp._tls."+domain, resolver.Records{Fail: resolver.ServFail})
		r.count(domain, 5)
		r.sleep(oneDay + 21*time.Hour)
		r.wants(domain, "mailto:"+byMail)
		r.sleep(oneDay)
		if got := r.reports(); sum(got) != 5 {
			t.Errorf("got %+v", got)
		}
	})
}

var errFull = errors.New("no space left on device")

// The clock is set back after a report has been tried, and has not been taken yet.
func TestOutcomesThatComeTooLateAreDropped(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.wants(domain, "mailto:"+byMail)
		r.answers(byMail, dead)
		success, _ := events(domain)
		r.collector.Report(success)
		r.sleep(oneDay + 21*time.Hour)
		for range 3 {
			r.collector.Report(success)
			r.sleep(time.Minute)
		}
		r.answers(byMail, nil)
		r.sleep(oneDay)
		if got, s := r.reports(), r.collector.Stats(); sum(got) != 1 || s.Reported != 1 || s.Dropped != 3 {
			t.Errorf("got %+v, stats %+v", got, s)
		}
		r.collector.Report(success)
		r.sleep(oneDay)
		if got, s := r.reports(), r.collector.Stats(); sum(got) != 1 || s.Dropped != 4 {
			t.Errorf("got %+v, stats %+v", got, s)
		}
	})
}

// The clock is set back after a report has been sent.
func TestOutcomesAfterTheReportGetOneOfTheirOwn(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.wants(domain, "mailto:"+byMail)
		success, _ := events(domain)
		r.collector.Report(success)
		r.sleep(oneDay + 20*time.Hour + 30*time.Minute)
		r.collector.Report(success)
		r.sleep(time.Hour)
		if got := r.reports(); len(got) != 2 || sum(got) != 2 || got[0].report.ID == got[1].report.ID {
			t.Errorf("got %+v, want two reports of one outcome each", got)
		}
	})
}

func TestAReportThatIsOverIsNotStoredAgain(t *testing.T) {
	mortal(t, func(t *testing.T, r *rig) {
		r.sleep(20*time.Hour + 30*time.Minute - time.Second)
		success, _ := events(domain)
		success.Time = success.Time.Add(-oneDay)
		r.collector.Report(success) // a second before Run looks for what is due
		r.sleep(2 * time.Second)
		store := r.store.(*mortalStore)
		store.fail(errFull)
		r.count("other.example", 1)
		r.sleep(time.Minute)
		store.fail(nil)
		r.sleep(2 * time.Minute)
		keys, _, err := r.store.Scan(t.Context(), "", 10)
		if s := r.collector.Stats(); s.Unwanted != 1 || s.StoreErrors == 0 || len(keys) != 1 || err != nil {
			t.Errorf("stats %+v; in the store: %q, %v", s, keys, err)
		}
	})
}

func TestCloseLetsWhatIsBeingSentEnd(t *testing.T) {
	mortal(t, func(t *testing.T, r *rig) {
		r.wants(domain, "mailto:"+byMail)
		sent := make(chan bool)
		r.answers(byMail, func(context.Context) error {
			close(sent)
			time.Sleep(3 * time.Second) // in a bubble
			return nil
		})
		r.count(domain, 1)
		<-sent
		if err := r.collector.Close(); err != nil {
			t.Error(err)
		}
		r.store.(*mortalStore).die() // it has been closed
		if s := r.collector.Stats(); s.Reported != 1 || s.StoreErrors != 0 {
			t.Errorf("stats %+v", s)
		}
		if err := r.collector.Run(t.Context()); err == nil {
			t.Error("a closed collector runs")
		}
	})
}

// Otherwise a few hundred domains with silent destinations would take all places for a day.
func TestATryOfAReportTakesAMinuteAtMost(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		var waited time.Duration
		var uris []string
		for i := range 10 {
			to := fmt.Sprintf("d%d@%s", i, domain)
			uris = append(uris, "mailto:"+to)
			r.answers(to, func(ctx context.Context) error {
				start := time.Now()
				defer func() { waited += time.Since(start) }() // one destination after the other
				return silent(ctx)
			})
		}
		r.wants(domain, strings.Join(uris, ","))
		r.count(domain, 1)
		r.sleep(3 * oneDay)
		tries := r.triesOf("d9@" + domain)
		if tries == 0 || waited > time.Duration(tries)*time.Minute {
			t.Errorf("%d tries took %v", tries, waited)
		}
	})
}
