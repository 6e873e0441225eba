package mtasts

import (
	"log/slog"
	"time"
)

// maxTrouble bounds how many failing domains are counted.
const maxTrouble = 100_000

// trouble is a policy that cannot be refreshed.
type trouble struct {
	failures int
	since    time.Time
	severity slog.Level
}

// severity says how much of a policy's life has gone by: [slog.LevelInfo] at first,
// Warn from 50 %, Error from 75 %, and above Error from 90 %.
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

// failed raises the alarm about a refresh that failed (RFC 8461, Section 10.2): an
// event each time, a line in the log when it becomes more severe. A policy of mode
// none is to be removable in peace (Section 8.3).
func (r *refresher) failed(p *Policy, err *Error) {
	if !p.speaks() {
		return
	}
	now := time.Now()
	r.mu.Lock()
	t := r.failing[p.Domain]
	if t == nil {
		t = &trouble{since: now, severity: slog.LevelInfo}
		if len(r.failing) < maxTrouble {
			r.failing[p.Domain] = t
		}
	}
	t.failures++
	level := severity(p, now)
	worse := level > t.severity
	t.severity = level
	known := *t
	r.mu.Unlock()

	c := r.client
	c.emit(Event{Kind: EventRefresh, Domain: p.Domain, Policy: p, Result: err.Result, Reason: err.Reason, Err: err,
		Failures: known.failures, Since: known.since, Severity: level})
	if worse {
		c.log.Log(c.ctx, level, "mtasts: a policy cannot be refreshed; after its end the domain is without protection",
			"domain", p.Domain, "failures", known.failures, "since", known.since, "expires", p.Expires, "error", err)
	}
}

// recovered ends the alarm.
func (r *refresher) recovered(p *Policy) {
	r.mu.Lock()
	t := r.failing[p.Domain]
	delete(r.failing, p.Domain)
	r.mu.Unlock()
	if t == nil {
		return
	}
	r.client.emit(Event{Kind: EventRefresh, Domain: p.Domain, Policy: p, Failures: t.failures, Since: t.since})
	if t.severity > slog.LevelInfo {
		r.client.log.Info("mtasts: a policy has been refreshed again", "domain", p.Domain, "failures", t.failures, "since", t.since)
	}
}

// Changes of a policy that weaken it, or that its publisher may not have meant.
const (
	changeWeaker  = "enforcement-ended"
	changeWider   = "patterns-added"
	changeSameID  = "same-id-other-policy"
	changeSameDoc = "new-id-same-policy"
)

// emitChanges reports what is remarkable about now, which takes the place of was.
func (c *Client) emitChanges(was, now *Policy) {
	change := func(reason string) {
		c.emit(Event{Kind: EventChange, Domain: now.Domain, Policy: now, Reason: reason})
	}
	if was.Mode == ModeEnforce && now.Mode != ModeEnforce {
		change(changeWeaker)
	}
	if was.speaks() && now.speaks() && grew(was.MX, now.MX) {
		change(changeWider)
	}
	switch same := was.Text == now.Text; {
	case was.ID == now.ID && !same:
		change(changeSameID)
	case was.ID != now.ID && same:
		change(changeSameDoc)
	}
}

// grew reports whether now has a pattern that was has not.
func grew(was, now []string) bool {
	known := make(map[string]bool, len(was))
	for _, mx := range was {
		known[mx] = true
	}
	for _, mx := range now {
		if !known[mx] {
			return true
		}
	}
	return false
}
