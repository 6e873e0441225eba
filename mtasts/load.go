package mtasts

import (
	"context"
	"fmt"
	"time"
)

// load reads a policy and its last use from the store. It is nil if there is none.
func (c *Client) load(name string) (p *Policy, used time.Time, err error) {
	if h := c.unsaved.get(name); h != nil {
		return h.policy.afterClockChange(time.Now()), h.used, nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, storeLimit)
	defer cancel()
	value, ok, err := c.store.Get(ctx, name)
	if err == nil && ok {
		p, used, err = decodeEntry(name, value, c.files.parse)
	}
	if err == nil {
		c.readable(name)
		if p != nil {
			p = p.afterClockChange(time.Now())
			p.client = c
		}
		return p, used, nil
	}
	failure := &Error{Domain: name, Reason: ReasonStoreUnreadable, Temporary: true,
		Err: fmt.Errorf("reading the store: %w", err)}
	if c.ctx.Err() != nil {
		return nil, used, closedError(name)
	}
	c.unreadable(failure)
	return nil, used, failure
}

// unreadable reports that the store could not be read: what it has of err.Domain, or on
// a walk through it.
func (c *Client) unreadable(err *Error) {
	c.emitError(EventStore, nil, err)
	if c.readFailed.CompareAndSwap(nil, &err.Domain) {
		c.log.Error("mtasts: the store cannot be read; a domain of which no policy is in memory defers", "domain", err.Domain, "error", err)
	}
}

// readable ends what unreadable has begun, once the same can be read: with one damaged
// entry in it, most of a store can be.
func (c *Client) readable(domain string) {
	failed := c.readFailed.Load()
	if failed != nil && *failed == domain {
		c.allReadable()
	}
}

// allReadable is readable for everything.
func (c *Client) allReadable() {
	if c.readFailed.Swap(nil) != nil {
		c.emit(Event{Kind: EventStore, Reason: ReasonStoreReadable})
		c.log.Info("mtasts: the store can be read again")
	}
}
