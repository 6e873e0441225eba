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
// too, which lie in the time of the other clock. If the other was wrong, ahead by a year
// say, then these times are far off, and do not matter.

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

// afterClockChange is p, or p as it is valid by the clock of the policy before it.
func (p *Policy) afterClockChange(now time.Time) *Policy {
	if p == nil || p.valid(now) || now.Before(p.stamp) || now.After(p.until) {
		return p
	}
	moved := *p
	moved.Fetched, moved.Expires, moved.until = p.stamp, p.until, time.Time{}
	return &moved
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
