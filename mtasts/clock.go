package mtasts

import "time"

// If somebody sets the clock, no policy must be lost and no old one come back. A Policy has two
// times for that, besides Fetched and Expires.
//
// stamp orders the writes of one domain in a [Store]. It is Fetched, or just after the stamp of
// the policy before, whichever is later. So a newer policy replaces an older one even if the
// clock has been set back between their fetches.
//
// until is set if the clock has been set back by a minute or more. Then two cases look the same:
//
//   - The clock is wrong now. When it is right again, it will be past the Expires of the newer
//     policy at once, and the domain would lose its protection. So the newer policy is also valid
//     from stamp until the older one would have expired. That time is until.
//   - The clock was wrong at the earlier fetch, and is right now. Then until promises too much. It
//     is dropped if the clock has not reached stamp a day after the fetch of the newer policy, or
//     when that expires.

// succeed sets stamp and until of p, which has just been fetched. before is the policy that was
// cached or stored, valid or expired, or nil.
func succeed(p, before *Policy) {
	if before == nil || p.stamp.After(before.stamp) {
		return
	}
	p.stamp = before.stamp.Add(1)
	if before.stamp.Sub(p.Fetched) < time.Minute || !p.lasts() || !before.valid(time.Now()) {
		return // corrections of less than a minute are usual
	}
	if p.until = before.until; p.until.IsZero() {
		p.until = before.Expires
	}
}

// withoutUntil returns p without until if the earlier clock was wrong, or nil.
func (p *Policy) withoutUntil(now time.Time) *Policy {
	if p == nil || p.until.IsZero() || !now.Before(p.stamp) || now.Sub(p.Fetched) <= 24*time.Hour && p.valid(now) {
		return nil
	}
	plain := *p
	plain.until = time.Time{}
	return &plain
}

// afterClockChange returns p. If p is valid only from stamp to until, these are its Fetched and
// Expires.
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

// A steadyClock tells for how long nobody has set the clock. It may be wrong, as after a start
// without network, so nothing that seems to have expired is removed at first.
type steadyClock struct {
	start, last time.Time
}

// since returns for how long the clock has been steady at now. It notices only a change between
// two calls.
func (s *steadyClock) since(now time.Time) time.Duration {
	byClock := now.Round(0).Sub(s.last.Round(0)) // without monotonic time
	if drift := byClock - now.Sub(s.last); s.last.IsZero() || drift.Abs() > time.Minute {
		s.start = now
	}
	s.last = now
	return now.Sub(s.start)
}
