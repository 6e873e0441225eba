package tlsrpt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
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
