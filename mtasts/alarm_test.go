package mtasts_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

func TestRemarkableChangesAreReported(t *testing.T) {
	enforce := mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.com")
	for name, change := range map[string]struct{ id, text, want string }{
		"enforcement ends":      {"2", mtaststest.Policy(mtasts.ModeTesting, week, "mx.example.com"), "enforcement-ended"},
		"patterns are added":    {"2", mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.com", "*.example.net"), "patterns-added"},
		"a plain move":          {"2", mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.net"), ""},
		"patterns go":           {"2", mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.com", "mx.example.com"), ""},
		"a new id for it":       {"2", enforce, "new-id-same-policy"},
		"the body alone":        {"1", mtaststest.Policy(mtasts.ModeEnforce, 2*week, "mx.example.com"), "same-id-other-policy"},
		"nothing":               {"1", enforce, ""},
		"a longer life, new id": {"2", mtaststest.Policy(mtasts.ModeEnforce, 2*week, "mx.example.com"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.Publish(domain, "1", enforce)
				e.policy()
				defer e.run()()
				e.Publish(domain, change.id, change.text)
				e.sleep(day)
				var got []string
				for _, ev := range e.events(mtasts.EventChange) {
					got = append(got, ev.Reason)
					if ev.Policy == nil || ev.Policy.Text != change.text || ev.Previous == nil || ev.Previous.Text != enforce || ev.Previous.ID != "1" {
						t.Errorf("the event has the policies %+v and, before, %+v", ev.Policy, ev.Previous)
					}
				}
				if strings.Join(got, " ") != change.want {
					t.Errorf("reported %q, want %q", got, change.want)
				}
			})
		})
	}
}

func TestRefreshFailuresAlarmWithRisingSeverity(t *testing.T) {
	for _, mode := range []mtasts.Mode{mtasts.ModeEnforce, mtasts.ModeTesting, mtasts.ModeNone} {
		t.Run(string(mode), func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				var log strings.Builder
				e.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
				e.restart()
				e.Publish(domain, "1", mtaststest.Policy(mode, week, "mx.example.com"))
				p := e.policy()
				stop := e.run()
				e.SetPolicyHost(domain, mtaststest.PolicyHost{Status: 503})
				e.sleep(week)
				events := e.events(mtasts.EventRefresh)
				if mode == mtasts.ModeNone {
					if len(events) != 0 || log.Len() != 0 {
						t.Errorf("events %+v, log %q; want silence", events, log.String())
					}
					stop()
					return
				}
				want := func(at time.Time) slog.Level {
					switch gone := at.Sub(p.Fetched); {
					case gone >= week*9/10:
						return slog.LevelError + 4
					case gone >= week*3/4:
						return slog.LevelError
					case gone >= week/2:
						return slog.LevelWarn
					}
					return slog.LevelInfo
				}
				levels := make(map[slog.Level]bool)
				for i, ev := range events {
					levels[ev.Severity] = true
					if ev.Failures != i+1 || !ev.Since.Equal(events[0].Time) || ev.Severity != want(ev.Time) ||
						ev.Result != mtasts.ResultPolicyFetchError || ev.Policy != p || ev.Err == nil {
						t.Fatalf("event %d is %+v", i, ev)
					}
				}
				if len(events) < 20 || len(levels) != 4 {
					t.Errorf("%d events of %d severities", len(events), len(levels))
				}
				if lines := strings.Count(log.String(), "\n"); lines != 3 {
					t.Errorf("%d lines in the log, want one for each change of severity:\n%s", lines, log.String())
				}
				stop()
			})
		})
	}
}

// A failed refresh does not wait for the next walk through the store.
func TestAFailedRefreshIsTriedAgainSoon(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		requests := e.record()
		e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, time.Hour, "mx.example.com"))
		e.policy()
		defer e.run()()
		e.SetPolicyHost(domain, mtaststest.PolicyHost{Status: 503})
		e.sleep(time.Hour)
		times := requests.times["mta-sts."+domain]
		if len(times) < 4 {
			t.Fatalf("%d requests in the life of the policy, want the first and several tries", len(times))
		}
		for i := 2; i < len(times); i++ {
			if gap := times[i].Sub(times[i-1]); gap < 5*time.Minute || gap > 8*time.Minute {
				t.Errorf("try %d came %v after the one before", i, gap)
			}
		}
	})
}

func TestARefreshThatSucceedsAgainEndsTheAlarm(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		var log strings.Builder
		e.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
		e.restart()
		e.cachePolicy()
		defer e.run()()
		e.SetPolicyHost(domain, mtaststest.PolicyHost{Status: 503})
		e.sleep(5 * day)
		e.publish("1", "mx.example.com")
		e.sleep(day)
		events := e.events(mtasts.EventRefresh)
		last := events[len(events)-1]
		if last.Result != "" || last.Err != nil || last.Failures != len(events)-1 {
			t.Errorf("the last event is %+v", last)
		}
		if text := log.String(); strings.Count(text, "refreshed again") != 1 {
			t.Errorf("log:\n%s", text)
		}
	})
}
