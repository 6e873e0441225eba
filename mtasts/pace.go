package mtasts

import (
	"context"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// pacePeriod is the least time between two refreshes at one address. Thousands of domains may
// have their policies on one host, and RFC 8461, Section 3.3 warns of overwhelming it.
const pacePeriod = 50 * time.Millisecond

// pace spaces the refreshes at each address.
type pace struct {
	mu   sync.Mutex
	next map[string]time.Time // by address
}

// reserve returns when a request to address may be made, and reserves that time for it.
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

// policyHostKey returns an address of the policy host of domain, or its name if none can be
// found.
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
