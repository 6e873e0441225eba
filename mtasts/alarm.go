package mtasts

import (
	"log/slog"
	"maps"
	"sync"
	"time"
)

// maxFailing bounds how many failing domains are counted.
const maxFailing = 100_000

// alarms are raised for policies that cannot be refreshed.
type alarms struct {
	client *Client

	mu      sync.Mutex
	failing map[string]*failingPolicy
}

type failingPolicy struct {
	failures int
	since    time.Time
	severity slog.Level
	retryAt  time.Time
}

// severity tells how much of the life of p is over: [slog.LevelInfo] at first, Warn from 50 %,
// Error from 75 %, and above Error from 90 %.
func severity(p *Policy, now time.Time) slog.Level {
	life, gone := p.Expires.Sub(p.Fetched), now.Sub(p.Fetched)
	switch {
	case gone >= life*9/10:
		return slog.LevelError + 4
	case gone >= life*3/4:
		return slog.LevelError
	case gone >= life/2:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// retryAt returns when to refresh p again, if that has failed.
func (a *alarms) retryAt(p *Policy) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f := a.failing[p.Domain]; f != nil {
		return f.retryAt, true
	}
	return time.Time{}, false
}

// failed raises the alarm about a refresh that failed (RFC 8461, Section 10.2): an event each
// time, and a line in the log when it becomes more severe. A policy of mode none raises none:
// its publisher may remove it (Section 8.3). Nor does a refresh that was not tried, because a
// fetch for the same id has just failed.
func (a *alarms) failed(p *Policy, err *Error, retryAt time.Time, backedOff bool) {
	now := time.Now()
	a.mu.Lock()
	f := a.failing[p.Domain]
	if f == nil {
		f = &failingPolicy{since: now, severity: slog.LevelInfo}
		if len(a.failing) < maxFailing {
			a.failing[p.Domain] = f
		}
	}
	f.retryAt = retryAt
	if backedOff || !p.speaks() {
		a.mu.Unlock()
		return
	}
	f.failures++
	level := severity(p, now)
	worse := level > f.severity
	f.severity = level
	known := *f
	a.mu.Unlock()

	c := a.client
	c.stats.refreshFailures.Add(1)
	c.emit(Event{Kind: EventRefresh, Domain: p.Domain, Policy: p, Result: err.Result, Reason: err.Reason, Err: err,
		Failures: known.failures, Since: known.since, Severity: level})
	if worse {
		c.log.Log(c.ctx, level, "mtasts: a policy cannot be refreshed; once it has expired the domain is without protection",
			"domain", p.Domain, "failures", known.failures, "since", known.since, "expires", p.Expires, "error", err)
	}
}

// recovered ends the alarm. A refresh or a check has fetched p.
func (a *alarms) recovered(p *Policy) {
	a.mu.Lock()
	f := a.failing[p.Domain]
	delete(a.failing, p.Domain)
	a.mu.Unlock()
	if f == nil || f.failures == 0 {
		return
	}
	a.client.emit(Event{Kind: EventRefresh, Domain: p.Domain, Policy: p, Failures: f.failures, Since: f.since})
	if f.severity > slog.LevelInfo {
		a.client.log.Info("mtasts: a policy has been refreshed again", "domain", p.Domain, "failures", f.failures, "since", f.since)
	}
}

// prune drops what is not refreshed any more, because it has expired or was evicted.
func (a *alarms) prune(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.failing, func(_ string, f *failingPolicy) bool { return now.Sub(f.retryAt) > 24*time.Hour })
}

// of returns how often the refresh of a domain has failed, and since when.
func (a *alarms) of(domain string) (failures int, since time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f := a.failing[domain]; f != nil {
		return f.failures, f.since
	}
	return 0, time.Time{}
}

// count returns how many policies cannot be refreshed.
func (a *alarms) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.failing)
}
