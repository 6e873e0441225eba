package mtasts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// unsaved are the policies that are not in the store yet: those being written, and
// those that could not be. They are held here because memory may forget, and nothing
// that was learnt is to be lost in between.
type unsaved struct {
	mu       sync.Mutex
	policies map[string]*Policy
	dropped  int // for which there was no room; memory may still have them
	retrying bool
}

var errFull = errors.New("the store is full of policies in use; raise Options.Quota")

// maxUnsaved bounds what a broken store can make a process hold besides its memory.
const maxUnsaved = 4096

func (u *unsaved) get(name string) *Policy {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.policies[name]
}

// hold keeps p until release, or until a newer policy of its domain is held.
func (u *unsaved) hold(p *Policy) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.policies == nil {
		u.policies = make(map[string]*Policy)
	}
	u.policies[p.Domain] = p
}

// holdAgain is hold for a policy that was dropped before.
func (u *unsaved) holdAgain(p *Policy) {
	u.hold(p)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dropped--
}

func (u *unsaved) release(p *Policy) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.policies[p.Domain] == p {
		delete(u.policies, p.Domain)
	}
}

// save stores p, which is held and was last used at used. No caller waits for it, and
// none is told if it fails: p goes on to be held, and writing is tried again. Where the
// store is full, it takes only what replaces an entry.
func (c *Client) save(p *Policy, used time.Time, replaces bool) {
	u := &c.unsaved
	if !replaces && c.refresher.Load().full(p) {
		c.emitError(EventStore, p, &Error{Domain: p.Domain, Reason: "store-full", Temporary: true, Err: errFull})
		u.release(p)
		return
	}
	err := c.write(p, used)
	if err == nil {
		u.release(p)
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.policies) > maxUnsaved && u.policies[p.Domain] == p {
		delete(u.policies, p.Domain)
		u.dropped++
		if m, ok := c.memory.Get(p.Domain); ok && m.policy == p {
			m.unsaved.Store(true) // its next look tries again
		}
	}
	if !u.retrying {
		u.retrying = true
		c.log.Error("mtasts: policies cannot be stored and are kept in memory until they can", "domain", p.Domain, "error", err)
		c.work.Go(c.saveAgain)
	}
}

// write puts p into the store. A policy with max_age 0 is written too, over the
// one that it ends: it is expired when it is read.
func (c *Client) write(p *Policy, used time.Time) error {
	// A write that Close waits for must not end because of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), storeLimit)
	defer cancel()
	entry := encodeEntry(p, used)
	err := c.store.Put(ctx, p.Domain, entry, p.stamp, p.Expires)
	if err == nil {
		if r := c.refresher.Load(); r != nil {
			r.noteStored(len(p.Domain) + len(entry))
		}
		return nil
	}
	failure := &Error{Domain: p.Domain, Reason: "store-unwritable", Temporary: true,
		Err: fmt.Errorf("writing the store: %w", err)}
	c.emitError(EventStore, p, failure)
	return failure
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
			c.log.Info("mtasts: the store can be written again")
			return
		}
	}
}

// flush writes what is unsaved, and stops at the first failure: the store is the
// same for all. It returns nil, and ends the retrying, once nothing is left.
func (c *Client) flush() error {
	u := &c.unsaved
	for {
		u.mu.Lock()
		var p *Policy
		for _, p = range u.policies {
			break
		}
		if p == nil {
			u.retrying = false
			u.mu.Unlock()
			return nil
		}
		u.mu.Unlock()
		if err := c.write(p, time.Now()); err != nil {
			return err
		}
		u.release(p)
	}
}

// lastSave is flush for Close, which says how much is lost.
func (c *Client) lastSave() error {
	err := c.flush()
	lost := len(c.unsaved.policies) + c.unsaved.dropped
	switch {
	case err != nil:
		return fmt.Errorf("policies that could not be stored: %d: %w", lost, errors.Unwrap(err))
	case lost > 0:
		return fmt.Errorf("policies that could not be stored when they were learnt: %d", lost)
	}
	return nil
}
