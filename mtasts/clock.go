package mtasts

import "time"

// A clock that is set, forward or back, must neither lose a policy nor bring an old one
// back. Two times beside Fetched and Expires see to that:
//
// stamp orders the writes of one domain in a [Store]. It is Fetched, unless the policy
// before seems to have been fetched later: then the clock has been set back since, and
// the newer policy must win all the same.
//
// until is set in that case, and is when the policy before was to expire. Nobody can say
// which of the two clocks was wrong. If it is the one by which the newer policy was
// fetched, then that policy seems to have expired as soon as the clock is right again,
// while the domain was promised protection for longer. So it holds from stamp to until
// too, which lie in the time of the other clock.
//
// If the other clock was wrong, and ahead, then the present one goes on as usual. This shows
// once it has gone on for a day, or beyond the end of the newer policy, without coming to
// stamp; and then until is dropped. A clock that was ahead by less can make the newer
// policy hold for as much longer.

// succeed orders p, just fetched, behind before, which is what is cached or stored of its
// domain, valid or expired, or nil.
func succeed(p, before *Policy) {
	if before == nil || p.stamp.After(before.stamp) {
		return
	}
	p.stamp = before.stamp.Add(1)
	if before.stamp.Sub(p.Fetched) < time.Minute || !p.lasts() || !before.valid(time.Now()) {
		return // as every clock is corrected now and then
	}
	if p.until = before.until; p.until.IsZero() {
		p.until = before.Expires
	}
}

// withoutUntil is p without until, if p shows that it was the other clock that was wrong,
// and else nil.
func (p *Policy) withoutUntil(now time.Time) *Policy {
	if p == nil || p.until.IsZero() || !now.Before(p.stamp) || now.Sub(p.Fetched) <= 24*time.Hour && p.valid(now) {
		return nil
	}
	plain := *p
	plain.until = time.Time{}
	return &plain
}

// afterClockChange is p, or p as it is valid by the clock of the policy before it.
func (p *Policy) afterClockChange(now time.Time) *Policy {
	if p == nil || p.valid(now) || now.Before(p.stamp) || now.After(p.until) {
		return p
	}
	moved := *p
	moved.Fetched, moved.Expires, moved.until = p.stamp, p.until, time.Time{}
	return &moved
}

// A steadyClock tells for how long the clock has gone without being set. While it may be
// wrong, as after a start without network, nothing is removed that seems to have expired.
type steadyClock struct {
	start, last time.Time
}

// since is for how long the clock has been steady at now. It wants to be asked often.
func (s *steadyClock) since(now time.Time) time.Duration {
	byClock := now.Round(0).Sub(s.last.Round(0)) // without monotonic time
	if drift := byClock - now.Sub(s.last); s.last.IsZero() || drift.Abs() > time.Minute {
		s.start = now
	}
	s.last = now
	return now.Sub(s.start)
}

// storedUntil is until when a store has to keep p.
func (p *Policy) storedUntil() time.Time {
	if p.until.After(p.Expires) {
		return p.until
	}
	return p.Expires
}

// is reports whether p and q are the same fetch of the same domain.
func (p *Policy) is(q *Policy) bool {
	return p != nil && q != nil && p.Domain == q.Domain && p.stamp.Equal(q.stamp)
}
