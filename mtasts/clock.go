package mtasts

import "time"

// A clock that is set, forward or back, must neither lose a policy nor bring an old one
// back. Two times of a Policy beside Fetched and Expires see to that.
//
// stamp orders the writes of one domain in a [Store]. It is Fetched, unless the policy before
// has a later stamp. Then the clock has been set back since, and the newer policy must win all
// the same.
//
// until is set in that case. It is when the policy before was to expire. Nobody can say which
// of the two clocks was wrong. If it was the later one, then the newer policy seems to have
// expired as soon as the clock is right again, although the domain was promised protection for
// longer. So it is also valid from stamp to until, which are times of the earlier clock.
//
// If the earlier clock was wrong, and ahead, then the present one goes on as usual. This shows
// once it has gone on for a day, or beyond the end of the newer policy, without reaching
// stamp. Then until is dropped. A clock that was ahead by less can make the newer policy valid
// for as much longer.

// succeed orders p, just fetched, after before, which is what is cached or stored of its
// domain, valid or expired, or nil.
func succeed(p, before *Policy) {
	if before == nil || p.stamp.After(before.stamp) {
		return
	}
	p.stamp = before.stamp.Add(1)
	if before.stamp.Sub(p.Fetched) < time.Minute || !p.lasts() || !before.valid(time.Now()) {
		return // every clock is corrected by a little now and then
	}
	if p.until = before.until; p.until.IsZero() {
		p.until = before.Expires
	}
}

// withoutUntil returns p without until, if p shows that the earlier clock was wrong, and else
// nil.
func (p *Policy) withoutUntil(now time.Time) *Policy {
	if p == nil || p.until.IsZero() || !now.Before(p.stamp) || now.Sub(p.Fetched) <= 24*time.Hour && p.valid(now) {
		return nil
	}
	plain := *p
	plain.until = time.Time{}
	return &plain
}

// afterClockChange returns p, or p with the times of the earlier clock, if it is valid by that
// one alone.
func (p *Policy) afterClockChange(now time.Time) *Policy {
	if p == nil || p.valid(now) || now.Before(p.stamp) || now.After(p.until) {
		return p
	}
	moved := *p
	moved.Fetched, moved.Expires, moved.until = p.stamp, p.until, time.Time{}
	return &moved
}

// storedUntil returns when a store may drop p.
func (p *Policy) storedUntil() time.Time {
	if p.until.After(p.Expires) {
		return p.until
	}
	return p.Expires
}

// A steadyClock tells how long the clock has not been set. While it may be wrong, as after a
// start without network, nothing is removed that seems to have expired.
type steadyClock struct {
	start, last time.Time
}

// since returns how long the clock has been steady at now. It sees a change between two calls
// only.
func (s *steadyClock) since(now time.Time) time.Duration {
	byClock := now.Round(0).Sub(s.last.Round(0)) // without monotonic time
	if drift := byClock - now.Sub(s.last); s.last.IsZero() || drift.Abs() > time.Minute {
		s.start = now
	}
	s.last = now
	return now.Sub(s.start)
}
