package mtasts

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
)

const (
	// freshestLife is the life beyond which a policy is refreshed as if it had
	// this one: its 70 % come a little before the 24 hours after which each policy
	// is to be fetched again, so that there is time for a queue.
	freshestLife = 33 * time.Hour

	// overdueSpread is over how much time the refreshes are spread that were
	// missed while nothing ran.
	overdueSpread = time.Hour

	// minRetry and maxRetry bound the time between two tries of a refresh. The
	// lower is what RFC 8461, Section 3.3 asks for.
	minRetry = fetchSpacing
	maxRetry = 3 * time.Hour
)

// A schedule says when to refresh. Its times are random, for else an attacker could
// be there at the right moment (RFC 8461, Section 10.2), but stay the same however
// often it is asked about one fetch, until that is overdue.
type schedule struct {
	seed  maphash.Seed
	start time.Time // of Run
}

func newSchedule() schedule { return schedule{maphash.MakeSeed(), time.Now()} }

// due is when p is to be fetched again, no sooner than five minutes after its fetch (RFC
// 8461, Section 3.3). What should have been done while nothing ran is spread over the
// time that follows, and so is what was fetched by a clock that was ahead.
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

// retry is when p is to be tried again after a failure. The tries come closer as the
// end of its life does: whoever lets one through, however shortly before, has lost.
func (s schedule) retry(p *Policy, now time.Time) time.Time {
	span := min(max(p.Expires.Sub(now)/10, minRetry), maxRetry)
	return now.Add(span + rand.N(span/2))
}

// random is a number in [0, 1) that nobody outside can tell.
func (s schedule) random(p *Policy) float64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	h.WriteString(p.Domain)
	var fetched [8]byte
	binary.NativeEndian.PutUint64(fetched[:], uint64(p.Fetched.UnixNano()))
	h.Write(fetched[:])
	return float64(h.Sum64()>>11) / (1 << 53)
}

// pacePeriod is the least time between two refreshes at one address. Thousands of
// domains may have their policies on one host, which RFC 8461, Section 3.3 asks us
// not to overwhelm.
const pacePeriod = 50 * time.Millisecond

// pace spaces the refreshes at each address.
type pace struct {
	mu   sync.Mutex
	next map[string]time.Time // by address
}

// reserve returns when the next request to address may be made, and counts it.
func (p *pace) reserve(address string) time.Time {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil || len(p.next) > 4*maxRefreshes {
		kept := make(map[string]time.Time)
		for address, at := range p.next {
			if at.After(now) {
				kept[address] = at
			}
		}
		p.next = kept
	}
	at := p.next[address]
	if at.Before(now) {
		at = now
	}
	p.next[address] = at.Add(pacePeriod)
	return at
}

// policyHostKey tells policy hosts apart by where they are: by an address, or where
// none can be found by name.
func (c *Client) policyHostKey(ctx context.Context, domain string) string {
	host := sts.PolicyLabel + domain
	if c.lookupNetIP == nil {
		return host
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	addrs, err := c.lookupNetIP(ctx, "ip", host+".")
	if err != nil || len(addrs) == 0 {
		return host
	}
	return addrs[0].String()
}
