package mtasts

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// errLater is why a write was not even tried.
var errLater = errors.New("left for later")

// reserve reports whether there is a place among those who write. If there is none, the
// disk is slower than the network: then reserve waits for one, and callers with it, but
// only where so much is held already that more might be dropped.
func (c *Client) reserve() bool {
	select {
	case c.saving <- struct{}{}:
		return true
	default:
	}
	if !c.unsaved.isFull() {
		return false
	}
	c.saving <- struct{}{}
	return true
}

// save writes h, in a place that was reserved. No caller waits for it, and none is told
// if it fails: h goes on to be held, and writing is tried again.
func (c *Client) save(h *held) {
	defer func() { <-c.saving }()
	if c.ctx.Err() != nil && c.unsaved.isBroken() {
		c.putOff(h, errLater) // Close tries it once more, and not each for itself
	} else if err := c.write(h); !c.settled(h, err) {
		c.putOff(h, err)
	}
}

// putOff leaves h, of which a write has come to err, for later; or for the next look at
// its domain, if too much waits.
func (c *Client) putOff(h *held, err error) {
	u := &c.unsaved
	u.mu.Lock()
	h.waits = true
	if err != errLater && u.full() && u.remove(h) {
		u.lost++
		c.letGo(h, dropped)
	}
	broke := err != errCrowded && err != errLater && !u.broken
	u.broken = u.broken || broke
	if !u.retrying {
		u.retrying = true
		c.work.Go(c.saveAgain)
	}
	u.mu.Unlock()
	if broke {
		c.log.Error("mtasts: policies cannot be stored and are kept in memory until they can", "domain", h.policy.Domain, "error", err)
	}
}

// settled reports whether nothing is left to be done about h, of which a write has come
// to err.
func (c *Client) settled(h *held, err error) bool {
	u := &c.unsaved
	switch err {
	case nil:
		u.release(h)
	case errFull:
		p := h.policy
		c.emitError(EventStore, p, &Error{Domain: p.Domain, Reason: ReasonStoreFull, Temporary: true, Err: err})
		if u.release(h) {
			c.letGo(h, refused)
		}
	default:
		return false
	}
	return true
}

// letGo leaves it to memory to have h stored at the next look.
func (c *Client) letGo(h *held, why uint32) {
	if e := c.cached(h.policy.Domain); e != nil && e.policy.Load() == h.policy {
		e.unsaved.Store(why)
	}
}

// write puts h into the store. A policy with max_age 0 is written too, over the one
// that it ends: it is expired when it is read.
//
// A client that is being closed rather passes the quota than loses something.
func (c *Client) write(h *held) error {
	r, p := c.refresher.Load(), h.policy
	if !h.replaces && c.ctx.Err() == nil {
		if err := r.room(p); err != nil {
			return err
		}
	}
	// A write that Close waits for must not end because of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), storeLimit)
	defer cancel()
	size, err := c.put(ctx, p, h.used)
	if err == nil {
		r.noteStored(size)
		return nil
	}
	failure := &Error{Domain: p.Domain, Reason: ReasonStoreUnwritable, Temporary: true,
		Err: fmt.Errorf("writing the store: %w", err)}
	c.emitError(EventStore, p, failure)
	return failure
}

// put has the entry of p stored, which is of the given size with its key.
func (c *Client) put(ctx context.Context, p *Policy, used time.Time) (size int, err error) {
	entry, text := encodeEntry(p, used)
	size = len(p.Domain) + len(entry)
	// Not an interface: whoever wraps a Bolt to see each Put would then see none.
	if store, ok := c.store.(*cache.Bolt); ok {
		// The texts of most policies are copies of a few.
		return size, store.PutShared(ctx, p.Domain, entry, text, p.stamp, p.storedUntil())
	}
	return size, c.store.Put(ctx, p.Domain, entry, p.stamp, p.storedUntil())
}

// saveAgain tries what is unsaved until nothing is, or the client is closed.
func (c *Client) saveAgain() {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
			return
		}
		if c.flush() == nil {
			return
		}
	}
}

// flush writes what waits, and stops at a failure: the store is the same for all. It
// returns nil, and ends the retrying, once nothing waits.
func (c *Client) flush() error {
	for {
		waiting := c.waiting()
		if len(waiting) == 0 {
			return nil
		}
		var failed atomic.Pointer[error]
		writes := newLanes()
		for _, h := range waiting {
			writes.do(func() {
				if failed.Load() != nil {
					return
				}
				if err := c.write(h); !c.settled(h, err) {
					failed.Store(&err)
				}
			})
		}
		writes.wait()
		if err := failed.Load(); err != nil {
			c.unsaved.waitAgain(waiting)
			return *err
		}
	}
}

// waiting returns some of what waits. Nothing means that the retrying is at its end.
func (c *Client) waiting() (waiting []*held) {
	const most = 1000 // so that nobody waits long for the lock
	u := &c.unsaved
	u.mu.Lock()
	for _, h := range u.policies {
		if len(waiting) == most {
			break
		}
		if h.waits {
			h.waits = false // while it is being written
			waiting = append(waiting, h)
		}
	}
	recovered := len(waiting) == 0 && u.broken
	if len(waiting) == 0 {
		u.retrying, u.broken = false, false
	}
	u.mu.Unlock()
	if recovered {
		c.emit(Event{Kind: EventStore, Reason: ReasonStoreWritable})
		c.log.Info("mtasts: the store can be written again")
	}
	return waiting
}

// lastSave is flush for Close, which says how much is lost.
func (c *Client) lastSave() error {
	err := c.flush()
	lost := len(c.unsaved.policies) + c.unsaved.lost
	switch {
	case err != nil:
		return fmt.Errorf("policies that could not be stored: %d: %w", lost, errors.Unwrap(err))
	case lost > 0:
		return fmt.Errorf("policies that could not be stored when they were learnt: %d", lost)
	}
	return nil
}
