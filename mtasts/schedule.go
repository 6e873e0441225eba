package mtasts

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"time"
)

const (
	// Each policy is to be fetched again within 24 hours. So a life above maxLife counts as
	// maxLife, whose 70 % are 23 hours.
	maxLife = 33 * time.Hour

	// The refreshes that were missed while Run did not run are spread over overdueSpread.
	overdueSpread = time.Hour

	// maxRetry bounds the time between two tries of a refresh. The lower bound is
	// fetchSpacing (RFC 8461, Section 3.3).
	maxRetry = 3 * time.Hour
)

// A schedule says when to refresh. Its times are random, so that no attacker knows when to
// interfere (RFC 8461, Section 10.2). Each walk asks again, so the time for a policy must stay
// the same until it is overdue.
type schedule struct {
	secret uint64
	start  time.Time // of Run
}

// newSchedule returns the schedule of one client, or of all that share a store. These need the same
// times, so there is no secret but the nanosecond of each fetch.
func newSchedule(shared bool) schedule {
	s := schedule{start: time.Now()}
	if !shared {
		s.secret = rand.Uint64()
	}
	return s
}

// due returns when to fetch p again, no sooner than five minutes after its fetch (RFC 8461,
// Section 3.3). If that is over, or p was fetched in the future by a clock that was ahead, the
// time is a random one soon.
func (s schedule) due(p *Policy, now time.Time) time.Time {
	life := min(p.Expires.Sub(p.Fetched), maxLife)
	after := max(life*3/10+time.Duration(s.random(p)*float64(life*4/10)), fetchSpacing)
	at := p.Fetched.Add(after)
	if !at.Before(now) && !p.Fetched.After(now) {
		return at
	}
	at = s.start.Add(time.Duration(s.random(p) * float64(overdueSpread)))
	if at.Before(now) {
		at = now.Add(rand.N(walkEvery))
	}
	if half := now.Add(p.Expires.Sub(now) / 2); at.After(half) {
		return half
	}
	return at
}

// retry returns when to try p again after a failure. The intervals shrink towards the end of its
// life. The attacker has to block every try.
func (s schedule) retry(p *Policy, now time.Time) time.Time {
	span := min(max(p.Expires.Sub(now)/10, fetchSpacing), maxRetry)
	return now.Add(span + rand.N(span/2))
}

// random returns a number in [0, 1) that nobody outside can predict.
func (s schedule) random(p *Policy) float64 {
	b := binary.BigEndian.AppendUint64(nil, s.secret)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Fetched.UnixNano()))
	digest := sha256.Sum256(append(b, p.Domain...))
	return float64(binary.BigEndian.Uint64(digest[:])>>11) / (1 << 53)
}
