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

// emitChanges reports what is remarkable about now, which takes the place of was. seenID
// means that its id was seen before: name servers that disagree are reported once.
func (c *Client) emitChanges(was, now *Policy, seenID bool) {
	change := func(reason string) {
		c.emit(Event{Kind: EventChange, Domain: now.Domain, Policy: now, Previous: was, Reason: reason})
	}
	if was.Mode == ModeEnforce && now.Mode != ModeEnforce {
		change(ReasonEnforcementEnded)
	}
	if was.speaks() && now.speaks() && widened(was.MX, now.MX) {
		change(ReasonPatternsAdded)
	}
	switch same := was.Text == now.Text; {
	case was.ID == now.ID && !same:
		change(ReasonSameIDOther)
	case was.ID != now.ID && same && !seenID:
		change(ReasonNewIDSame)
	}
}

// widened reports whether now has all patterns of was and others besides. A plain move
// gives some up.
func widened(was, now []string) bool {
	return has(now, was) && !has(was, now)
}

// has reports whether each of some is in all.
func has(all, some []string) bool {
	known := make(map[string]bool, len(all))
	for _, mx := range all {
		known[mx] = true
	}
	for _, mx := range some {
		if !known[mx] {
			return false
		}
	}
	return true
}
