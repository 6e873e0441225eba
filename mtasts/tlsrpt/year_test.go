package tlsrpt_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
	"github.com/mtasts/go-mtasts/resolver"
)

// A year of mail, with all that befalls a sender and its receivers: what was counted is in
// exactly one place at its end.
func TestAYear(t *testing.T) {
	mortal(t, func(t *testing.T, r *rig) {
		chance := rand.New(rand.NewPCG(1, 2))
		const domains = 6
		name := func(i int) string { return fmt.Sprintf("d%d.example", i) }
		to := func(i int) string {
			if i%2 == 0 {
				return "tls@" + name(i)
			}
			return "https://" + name(i) + "/"
		}
		publish := func(i int, wants bool) {
			record := resolver.Records{TXT: []string{"v=TLSRPTv1; rua=mailto:" + to(i)}}
			if i%2 == 1 {
				record.TXT[0] = "v=TLSRPTv1; rua=" + to(i)
			}
			if !wants {
				record = resolver.Records{}
			}
			r.DNS.Set("_smtp._tls."+name(i), record)
		}
		for i := range domains {
			publish(i, true)
		}
		var given uint64
		late := make(map[string]bool) // outcomes of domains and days, given after the day
		var all tlsrpt.Stats
		total := func() {
			s := r.collector.Stats()
			all.Outcomes += s.Outcomes
			all.Reported += s.Reported
			all.Unwanted += s.Unwanted
			all.Unconfirmed += s.Unconfirmed
			all.Dropped += s.Dropped
		}
		end := func(how func()) {
			ended := r.collector
			how()
			restarted := r.collector
			r.collector = ended
			total()
			r.collector = restarted
		}
		for day := range 365 {
			for i := range domains {
				switch n := chance.IntN(40); n {
				case 0:
					r.answers(to(i), silent)
				case 1:
					r.answers(to(i), dead)
				case 2:
					r.answers(to(i), never)
				case 3, 4, 5, 6, 7, 8:
					r.answers(to(i), nil)
				case 9:
					publish(i, false)
				case 10, 11, 12, 13:
					publish(i, true)
				case 14:
					r.DNS.Set("_smtp._tls."+name(i), resolver.Records{Fail: resolver.ServFail})
				}
			}
			for hour := range 24 {
				r.sleep(time.Hour)
				if day%9 == 8 { // a day without mail
					continue
				}
				for range chance.IntN(12) {
					success, failure := events(name(chance.IntN(domains)))
					e := success
					if chance.IntN(3) == 0 {
						e = failure
					}
					switch chance.IntN(1000) { // a clock that jumps
					case 0:
						e.Time = e.Time.AddDate(0, 0, -1-chance.IntN(12))
						late[e.Domain+e.Time.Format(time.DateOnly)] = true
					case 1:
						e.Time = e.Time.AddDate(0, 0, 1+chance.IntN(400))
					}
					r.collector.Report(e)
					given++
				}
				switch chance.IntN(100) {
				case 0:
					end(r.restart)
				case 1:
					r.sleep(6 * time.Second) // since the last outcome
					end(r.kill)
				case 2:
					if chance.IntN(8) > 0 {
						break
					}
					store := r.store.(*mortalStore)
					store.fail(errFull)
					r.sleep(time.Duration(chance.IntN(5*60)) * time.Minute)
					store.fail(nil)
				case 3:
					if hour == 12 && chance.IntN(4) == 0 { // the program is off
						end(func() {
							r.stop()
							if err := r.collector.Close(); err != nil {
								t.Error(err)
							}
							r.sleep(time.Duration(chance.IntN(100)) * time.Hour)
							r.start()
						})
					}
				}
			}
		}
		r.sleep(450 * oneDay) // until what was counted for days to come has its end
		total()

		if all.Outcomes != given || all.Reported+all.Unwanted+all.Unconfirmed+all.Dropped != given {
			t.Errorf("%d outcomes, of which the counters say %+v", given, all)
		}
		got := uint64(sum(r.reports()))
		if got < all.Reported || got > all.Reported+all.Unconfirmed {
			t.Errorf("%d outcomes have been received; the counters say %+v", got, all)
		}
		if all.Reported < given/3 || all.Unwanted == 0 || all.Dropped == 0 {
			t.Errorf("not much has happened: %+v of %d", all, given)
		}
		seen, ids := make(map[string]bool), make(map[string]bool)
		for _, d := range r.reports() {
			of := d.report.Policies[0].Domain + d.report.Start.Format(time.DateOnly)
			if seen[of] && !late[of] || ids[d.report.ID] {
				t.Errorf("sent twice to %s: %s", d.to, of)
			}
			seen[of], ids[d.report.ID] = true, true
			if age := d.at.Sub(d.report.End); age < 0 || age > 45*time.Hour {
				t.Errorf("%s is sent %v after its day", of, age)
			}
		}
		r.restart()
		keys, values, err := r.store.Scan(t.Context(), "", 1000)
		if len(keys) != 0 || err != nil {
			t.Errorf("left in the store: %q %.100q %v", keys, values, err)
		}
		t.Logf("%d outcomes, %d reports: %+v", given, len(seen), all)
	})
}

func TestABoltFileKeepsWhatWasCounted(t *testing.T) {
	path := t.TempDir() + "/tlsrpt.db"
	opts := options()
	const day = 24 * time.Hour
	sent := 0
	opts.SendMail = func(_ context.Context, _, _ string, message []byte) error {
		_, r := readMail(t, message)
		sent += int(r.Policies[0].Successes)
		return nil
	}
	opts.Resolver = &resolver.Fake{Names: map[string]resolver.Records{"_smtp._tls.example.com": {TXT: []string{"v=TLSRPTv1; rua=mailto:tls@example.com"}}}}
	success, _ := events(domain)
	success.Time = success.Time.Add(-day)
	other := success // of the day before: one of the two can be sent now
	other.Time = other.Time.Add(-day)
	for n := range 3 {
		store, err := cache.OpenBolt(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := tlsrpt.New(store, opts)
		if err != nil {
			t.Fatal(err)
		}
		c.Report(success)
		c.Report(other)
		if n == 2 {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- c.Run(ctx) }()
			for c.Stats().Reported == 0 && t.Context().Err() == nil {
				runtime.Gosched()
			}
			cancel()
			<-ended
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if sent != 3 {
		t.Errorf("the report has %d sessions, want 3", sent)
	}
}
