package mtasts

import (
	"encoding/binary"
	"hash/maphash"
	"math/rand/v2"
	"time"
)

const (
	// freshestLife is the life for which every longer one counts. Its 70 % end an hour
	// before the 24 hours within which each policy is to be fetched again.
	freshestLife = 33 * time.Hour

	// overdueSpread is the time over which the refreshes are spread that were missed while
	// Run did not run.
	overdueSpread = time.Hour

	// maxRetry bounds the time between two tries of a refresh. The lower bound is
	// fetchSpacing (RFC 8461, Section 3.3).
	maxRetry = 3 * time.Hour
)

// A schedule says when to refresh. Its times are random, so that no attacker knows when to
// interfere (RFC 8461, Section 10.2). For one fetch the time stays the same however often it is
// asked for, until it is overdue.
type schedule struct {
	seed  maphash.Seed
	start time.Time // of Run
}

func newSchedule() schedule { return schedule{maphash.MakeSeed(), time.Now()} }

// due returns when to fetch p again, no sooner than five minutes after its fetch (RFC 8461,
// Section 3.3). What is overdue is spread over the time that follows, and so is what was
// fetched by a clock that was ahead.
func (s schedule) due(p *Policy, now time.Time) time.Time {
	life := min(p.Expires.Sub(p.Fetched), freshestLife)
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

// retry returns when to try p again after a failure. The tries follow each other faster
// towards the end of its life: an attacker must not let a single one through.
func (s schedule) retry(p *Policy, now time.Time) time.Time {
	span := min(max(p.Expires.Sub(now)/10, fetchSpacing), maxRetry)
	return now.Add(span + rand.N(span/2))
}

// random returns a number in [0, 1) that nobody outside can predict.
func (s schedule) random(p *Policy) float64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	h.WriteString(p.Domain)
	var fetched [8]byte
	binary.NativeEndian.PutUint64(fetched[:], uint64(p.Fetched.UnixNano()))
	h.Write(fetched[:])
	return float64(h.Sum64()>>11) / (1 << 53)
}
