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

// count counts n successes for a domain.
func (r *rig) count(name string, n int) {
	r.t.Helper()
	for range n {
		if err := r.collector.Add(tlsrpt.Outcome{Domain: name, Type: tlsrpt.TypeNoPolicyFound}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// sum is how many sessions are in the reports that a destination has taken.
func sum(reports []delivery) (n int) {
	for _, d := range reports {
		for _, p := range d.report.Policies {
			n += int(p.Successes + p.Failures)
		}
	}
	return n
}

const byMail, url = "tls@example.com", "https://reports.example.com/v1"

func TestEachDayIsReportedOnTheNext(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.wants(domain, "mailto:"+byMail+","+url)
		start := time.Now() // midnight
		r.sleep(12 * time.Hour)
		r.count(domain, 2)
		r.sleep(12*time.Hour - time.Second)
		r.count(domain, 1)
		r.sleep(time.Second)
		r.count(domain, 10)
		r.sleep(oneDay)
		r.restart()
		got := r.reports()
		if len(got) != 2 || sum(got) != 2*3 || got[0].report.ID != got[1].report.ID {
			t.Fatalf("got %+v, want one report of 3 sessions at two destinations", got)
		}
		for _, d := range got {
			if !d.report.Start.Equal(start) || !d.report.End.Equal(start.Add(oneDay-time.Second)) {
				t.Errorf("the report is from %v to %v", d.report.Start, d.report.End)
			}
			if after := d.at.Sub(start.Add(oneDay)); after < 15*time.Minute || after > 20*time.Hour+20*time.Minute {
				t.Errorf("it came %v after the day", after)
			}
			if d.report.Organization != "Sender" || d.report.Contact != "postmaster@sender.example" {
				t.Errorf("it is from %+v", d.report)
			}
		}
		r.sleep(2 * oneDay)
		if got := r.reports(); len(got) != 4 || sum(got) != 2*13 || got[3].report.ID == got[0].report.ID {
			t.Errorf("got %d reports of %d sessions, want 4 of 26", len(got), sum(got))
		}
		if s := r.collector.Stats(); s.Dropped+s.Unwanted+s.Unconfirmed+s.Failures != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestReportsAreSpreadOverTheDay(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		for i := range 200 {
			name := fmt.Sprintf("d%d.example", i)
			r.wants(name, "mailto:"+byMail)
			r.count(name, 1)
		}
		r.sleep(oneDay)
		for quarter := range 4 {
			before := len(r.reports())
			r.sleep(5 * time.Hour)
			if n := len(r.reports()) - before; n < 25 || n > 75 {
				t.Errorf("%d of 200 reports in quarter %d, want about 50", n, quarter)
			}
		}
	})
}

func TestADomainWithoutARecordIsLookedUpOnceADay(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		for i := range 3 {
			r.count(domain, 5)
			r.sleep(oneDay / 2)
			r.restart()
			r.sleep(oneDay / 2)
			if n := r.DNS.Queries("_smtp._tls." + domain); n > i {
				t.Errorf("%d look-ups after %d days", n, i)
			}
		}
		r.sleep(oneDay)
		if s := r.collector.Stats(); s.Unwanted == 0 || s.Dropped != 0 || len(r.reports()) != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestAReportIsTriedForADay(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.wants(domain, "mailto:"+byMail)
		r.answers(byMail, dead)
		r.count(domain, 5)
		r.sleep(3 * oneDay)
		if n := r.triesOf(byMail); n < 8 || n > 12 {
			t.Errorf("%d tries in a day, want about 10", n)
		}
		if s := r.collector.Stats(); s.Dropped != 5 || s.Reported != 0 {
			t.Errorf("stats %+v", s)
		}
		n := r.triesOf(byMail)
		r.answers(byMail, nil)
		r.sleep(3 * oneDay)
		if r.triesOf(byMail) != n {
			t.Error("a report that was dropped is sent")
		}
	})
}

func TestATemporaryFailureIsTriedAgain(t *testing.T) {
	for name, answer := range map[string]func(context.Context) error{
		"silent": silent, "dead": dead, "4xx": notNow, "408": func(context.Context) error { return httpStatus(408) },
		"429": func(context.Context) error { return httpStatus(429) }, "500": func(context.Context) error { return httpStatus(500) },
		"redirected": func(context.Context) error { return httpStatus(302) },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig) {
				r.wants(domain, url+",mailto:"+byMail)
				r.answers(url, answer)
				r.count(domain, 5)
				r.sleep(oneDay + 21*time.Hour)
				if got := r.reports(); len(got) != 1 || got[0].to != byMail {
					t.Fatalf("got %+v, want one by mail", got)
				}
				r.answers(url, nil)
				r.restart()
				r.sleep(oneDay)
				if got := r.reports(); len(got) != 2 || got[1].to != url || got[0].report.ID != got[1].report.ID {
					t.Errorf("got %+v, want the other, too", got)
				}
				if s := r.collector.Stats(); s.Reported != 5 || s.Dropped != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

func TestADestinationThatRefusesIsLeftAloneForAWeek(t *testing.T) {
	for name, answer := range map[string]func(context.Context) error{
		"550": never, "wrapped": func(ctx context.Context) error { return fmt.Errorf("sending: %w", never(ctx)) },
		"404": func(context.Context) error { return httpStatus(404) },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig) {
				to, rua := byMail, "mailto:"+byMail
				if name == "404" {
					to, rua = url, url
				}
				r.wants(domain, rua)
				r.wants("other.example", rua)
				r.answers(to, answer)
				for range 7 {
					r.count(domain, 1)
					r.count("other.example", 1)
					r.sleep(oneDay)
					r.restart()
				}
				if n := r.triesOf(to); n != 2 {
					t.Errorf("%d tries in a week, want 1 for each domain", n)
				}
				r.answers(to, nil)
				r.sleep(3 * oneDay)
				r.count(domain, 1)
				r.sleep(2 * oneDay)
				if got := r.reports(); len(got) == 0 || got[len(got)-1].report.Policies[0].Domain != domain {
					t.Errorf("nothing is sent after that: %+v", got)
				}
			})
		})
	}
}

func TestRefusalsAreNotKeptForEver(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.answers(byMail, never)
		for i := range 300 { // more than one read
			name := fmt.Sprintf("d%d.example", i)
			r.wants(name, "mailto:"+byMail)
			r.count(name, 1)
		}
		r.sleep(2 * oneDay)
		if keys, _, err := r.store.Scan(t.Context(), "", 1000); len(keys) != 300 || err != nil {
			t.Errorf("%d entries in the store, want 300 refusals: %v", len(keys), err)
		}
		r.count(domain, 1) // stays
		r.sleep(8 * oneDay)
		r.count(domain, 1)
		r.sleep(time.Minute)
		if keys, _, err := r.store.Scan(t.Context(), "", 1000); len(keys) != 1 || err != nil {
			t.Errorf("%d entries in the store, want one: %v", len(keys), err)
		}
	})
}

// Anybody can publish the destination of somebody else, who refuses reports about strange domains.
func TestARefusalIsThatOfOneDomain(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.wants("attacker.example", url)
		r.wants(domain, url)
		r.answers(url, func(context.Context) error { return httpStatus(403) })
		r.count("attacker.example", 1)
		r.sleep(2 * oneDay)
		r.answers(url, nil)
		r.count(domain, 1)
		r.sleep(2 * oneDay)
		if got := r.reports(); len(got) != 1 {
			t.Errorf("got %+v, want the report to %s", got, domain)
		}
	})
}

// When Run ends while one destination is silent, the other still gets the report later.
func TestTheEndOfRunCostsNoOtherDestinationItsReport(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.wants(domain, url+",mailto:"+byMail)
		sent := make(chan bool)
		r.answers(url, func(context.Context) error {
			close(sent)
			time.Sleep(time.Minute / 2) // in a bubble; longer than Run waits
			return nil
		})
		r.answers(byMail, func(ctx context.Context) error { return ctx.Err() })
		r.count(domain, 1)
		<-sent
		r.answers(url, nil)
		r.restart()
		r.sleep(oneDay)
		if got := r.reports(); len(got) != 2 || got[1].to != byMail {
			t.Errorf("got %+v, want the report by mail, too", got)
		}
	})
}

func TestOneSilentReceiverDelaysNoOther(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.answers("silent@example.com", silent)
		for i := range 40 {
			name := fmt.Sprintf("d%d.example", i)
			r.wants(name, "mailto:silent@example.com,mailto:"+byMail)
			r.count(name, 1)
		}
		r.sleep(oneDay + 20*time.Hour + 30*time.Minute)
		if n := len(r.reports()); n != 40 {
			t.Errorf("%d reports, want 40", n)
		}
	})
}

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
