package mtasts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// unsaved are the policies that are not in the store yet: those being written, and
// those that could not be. They are held here because memory may forget, and nothing
// that was learnt is to be lost in between.
type unsaved struct {
	mu       sync.Mutex
	policies map[string]*held
	cost     int  // of policies, in KiB
	lost     int  // policies that were dropped; memory may still have them
	retrying bool // saveAgain is under way
	broken   bool // a write has failed since all was written
}

// A held policy is to be written.
type held struct {
	policy   *Policy
	used     time.Time
	replaces bool // an entry of the store
	waits    bool // for saveAgain, after a write that came to nothing
}

// Why a policy is neither in the store nor held any more.
const (
	refused = 1 // the store was full
	dropped = 2 // the store could not be written, and too much was held
)

// maxUnsaved bounds, in KiB, what a broken store can make a process hold besides its
// memory.
const maxUnsaved = 64 << 10

// get returns what is held of a domain, nil if nothing is.
func (u *unsaved) get(name string) *held {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.policies[name]
}

// hold keeps p until release, or until a newer policy of its domain is held. before is
// what became of p, or of the policy that p takes the place of: 0, refused or dropped.
func (u *unsaved) hold(p *Policy, used time.Time, replaces bool, before uint32) *held {
	h := &held{policy: p, used: used, replaces: replaces && before == 0}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.policies == nil {
		u.policies = make(map[string]*held)
	}
	if older := u.policies[p.Domain]; older != nil {
		h.replaces = older.replaces || !older.waits // it is being written
		u.cost -= cost(older.policy)
	}
	if before == dropped {
		u.lost--
	}
	u.policies[p.Domain] = h
	u.cost += cost(p)
	return h
}

// release ends what hold has begun. It reports false if a newer policy is held.
func (u *unsaved) release(h *held) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.remove(h)
}

// remove is release with the lock held.
func (u *unsaved) remove(h *held) bool {
	if u.policies[h.policy.Domain] != h {
		return false
	}
	delete(u.policies, h.policy.Domain)
	u.cost -= cost(h.policy)
	return true
}

// save writes h. No caller waits for it, and none is told if it fails: h goes on to be
// held, and writing is tried again.
func (c *Client) save(h *held) {
	u := &c.unsaved
	var err error
	if c.ctx.Err() != nil && u.isBroken() {
		err = errCrowded // Close tries it once more, and not each for itself
	} else if err = c.write(h); c.settled(h, err) {
		return
	}
	u.mu.Lock()
	h.waits = true
	if u.cost > maxUnsaved && u.remove(h) {
		u.lost++
		c.letGo(h, dropped)
	}
	broke := err != errCrowded && !u.broken
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

func (u *unsaved) isBroken() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.broken
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
		c.emitError(EventStore, p, &Error{Domain: p.Domain, Reason: "store-full", Temporary: true, Err: err})
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
	if m := c.memo(h.policy.Domain); m != nil && m.policy == h.policy {
		m.unsaved.Store(why)
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
	failure := &Error{Domain: p.Domain, Reason: "store-unwritable", Temporary: true,
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
		return size, store.PutShared(ctx, p.Domain, entry, text, p.stamp, p.Expires)
	}
	return size, c.store.Put(ctx, p.Domain, entry, p.stamp, p.Expires)
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

// flush writes what waits, and stops at the first failure: the store is the same for
// all. It returns nil, and ends the retrying, once nothing waits.
func (c *Client) flush() error {
	u := &c.unsaved
	for {
		u.mu.Lock()
		var next *held
		for _, h := range u.policies {
			if h.waits {
				next = h
				break
			}
		}
		if next == nil {
			recovered := u.broken
			u.retrying, u.broken = false, false
			u.mu.Unlock()
			if recovered {
				c.emit(Event{Kind: EventStore, Reason: "store-writable"})
				c.log.Info("mtasts: the store can be written again")
			}
			return nil
		}
		u.mu.Unlock()
		if err := c.write(next); !c.settled(next, err) {
			return err
		}
	}
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
