package mtasts

import (
	"maps"
	"slices"
	"sync"
	"time"
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

// all returns what is held.
func (u *unsaved) all() []*held {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Collect(maps.Values(u.policies))
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

// waitAgain leaves for later what of written is still held.
func (u *unsaved) waitAgain(written []*held) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, h := range written {
		h.waits = true
	}
}

// full reports whether so much is held that what fails to be written is dropped. The lock
// is held.
func (u *unsaved) full() bool { return u.cost > maxUnsaved }

func (u *unsaved) isFull() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.full()
}

func (u *unsaved) isBroken() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.broken
}
