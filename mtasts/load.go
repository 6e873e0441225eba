package mtasts

import (
	"context"
	"fmt"
	"time"
)

// load reads a policy and its last use from the store. It is nil if there is none.
func (c *Client) load(name string) (p *Policy, used time.Time, err error) {
	if p := c.unsaved.get(name); p != nil {
		return p, time.Now(), nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, storeLimit)
	defer cancel()
	value, ok, err := c.store.Get(ctx, name)
	if err == nil && ok {
		p, used, err = decodeEntry(name, value)
	}
	if err == nil {
		c.readable()
		if p != nil {
			p.client = c
		}
		return p, used, nil
	}
	failure := &Error{Domain: name, Reason: "store-unreadable", Temporary: true,
		Err: fmt.Errorf("reading the store: %w", err)}
	if c.ctx.Err() != nil {
		return nil, used, closedError(name)
	}
	c.unreadable(failure)
	return nil, used, failure
}

// readableAfter is how long reading must have gone well for the store to count as
// mended. With one damaged entry, most reads go well.
const readableAfter = time.Minute

// unreadable reports that the store could not be read.
func (c *Client) unreadable(err *Error) {
	c.emitError(EventStore, nil, err)
	if c.readFailed.Swap(time.Now().UnixNano()) == 0 {
		c.log.Error("mtasts: the store cannot be read; a domain of which no policy is in memory defers", "domain", err.Domain, "error", err)
	}
}

// readable ends what unreadable has begun.
func (c *Client) readable() {
	failed := c.readFailed.Load()
	if failed == 0 || time.Since(time.Unix(0, failed)) < readableAfter || !c.readFailed.CompareAndSwap(failed, 0) {
		return
	}
	c.emit(Event{Kind: EventStore, Reason: "store-readable"})
	c.log.Info("mtasts: the store can be read again")
}
