package mtasts

import (
	"context"
	"fmt"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// A Store keeps policies across restarts. A policy holds until its max_age is over (RFC
// 8461, Section 3.3), so a Store must not lose an entry before it has expired.
//
// Keys are policy domains: 1 to 253 octets of lower-case ASCII letters, digits, '-', '_' and
// '.'. Values are opaque, and at most 70 KiB. All methods may be called concurrently, and
// must heed ctx. The slices that a method returns belong to the caller. A method does not
// keep the slices that are passed to it.
//
// [Client.Close] closes a Store that is an [io.Closer]. mtaststest.TestStore tests any Store
// for this contract.
type Store interface {
	// Get returns the value last written under key. ok is false, without an error, if
	// there is none. An error means that the store could not be read: the client then
	// defers rather than deliver without a policy.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)

	// Write makes changes one after the other, in one transaction if the store has any.
	// When it returns nil, they are durable. Removing an absent key is no error.
	//
	// A change is skipped, without an error, if the store holds an unexpired value of
	// the same key with a later Fetched. So a process cannot replace the policy that
	// another process has fetched later, nor remove it. An expired value counts as
	// absent: otherwise one that was fetched while the clock was ahead would block all
	// later ones.
	//
	// The store may drop an entry once the clock is past its Expires, and not earlier.
	Write(ctx context.Context, changes []cache.Change) error

	// Scan returns at most limit entries whose keys are greater than after, in byte
	// order of the keys. Fewer than limit means that there are no more. To read the
	// whole store in bounded steps, begin with "", and pass the last key of each batch
	// as the next after.
	//
	// Scan leaves out an entry that cannot be read, and returns those that follow
	// together with an error. An error without entries means that nothing beyond after
	// can be read.
	Scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error)
}

// load returns the dirty or else the stored policy of a domain, valid or expired, and its last
// use. p is nil if there is none.
func (c *Client) load(name string) (p *Policy, used time.Time, err error) {
	if p, used := c.writer.get(name); p != nil {
		return p.afterClockChange(time.Now()), used, nil
	}
	p, used, err = c.loadStored(name)
	switch {
	case err != nil && c.ctx.Err() != nil:
		return nil, used, closedError(name)
	case err != nil:
		failure := readError(name, err)
		c.unreadable(failure)
		return nil, used, failure
	}
	c.readable(name)
	return p, used, nil
}

// loadStored returns the stored policy of a domain. Its error is not reported yet.
func (c *Client) loadStored(name string) (p *Policy, used time.Time, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, storeLimit)
	defer cancel()
	value, ok, err := c.store.Get(ctx, name)
	if err == nil && ok {
		p, used, err = decodeEntry(name, value, c.files.parse)
	}
	if err != nil || p == nil {
		return nil, used, err
	}
	p.client = c
	if plain := p.withoutUntil(time.Now()); plain != nil {
		p = plain
		c.writer.note(p, used, true)
	}
	return p.afterClockChange(time.Now()), used, nil
}

func readError(domain string, err error) *Error {
	return &Error{Domain: domain, Reason: ReasonStoreUnreadable, Temporary: true,
		Err: fmt.Errorf("reading the store: %w", err)}
}

// A storedEntry is an entry of the store. Its policy is not parsed, because a walk through
// millions needs few of them.
type storedEntry struct {
	head  Policy // valid or expired, without ID, MX and Text
	used  time.Time
	value []byte
}

// size returns the octets that e counts for the quota.
func (e *storedEntry) size() int64 { return int64(len(e.head.Domain) + len(e.value)) }

// removal is the change that removes e, unless a newer entry has taken its place.
func (e *storedEntry) removal() cache.Change {
	return cache.Change{Key: e.head.Domain, Fetched: e.head.stamp}
}

// remove makes removals in the store.
func (c *Client) remove(ctx context.Context, removals []cache.Change) error {
	if len(removals) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	err := c.store.Write(limited, removals)
	if err != nil && ctx.Err() == nil {
		c.stats.storeErrors.Add(1)
	}
	return err
}

// parse returns the policy of e.
func (c *Client) parse(e *storedEntry) (*Policy, *Error) {
	p, _, err := decodeEntry(e.head.Domain, e.value, c.files.parse)
	if err != nil {
		return nil, readError(e.head.Domain, err)
	}
	return p, nil
}

// scanBatch is how many entries one Scan reads, so that no store holds a transaction open
// for long.
const scanBatch = 500

// scan calls f with each entry of the store and with each error, until f returns false. An
// error about a single entry has its Domain. scan reports whether it reached the end of the
// store.
func (c *Client) scan(ctx context.Context, f func(*storedEntry, *Error) bool) bool {
	for after := ""; ; {
		batch, cancel := context.WithTimeout(ctx, storeLimit)
		keys, values, err := c.store.Scan(batch, after, scanBatch)
		cancel()
		for i, key := range keys {
			var damaged *Error
			head, used, err := decodeHead(key, values[i])
			if err != nil {
				damaged = readError(key, err)
			}
			if !f(&storedEntry{head, used, values[i]}, damaged) {
				return false
			}
		}
		if err != nil && !f(nil, readError("", err)) {
			return false
		}
		if len(keys) < scanBatch {
			return err == nil || len(keys) > 0
		}
		after = keys[len(keys)-1]
	}
}

// walk calls f with each readable entry of the store, until f returns false. It reports
// whether it reached the end.
func (c *Client) walk(ctx context.Context, f func(e *storedEntry) bool) bool {
	readable := true
	whole := c.scan(ctx, func(e *storedEntry, err *Error) bool {
		switch {
		case err == nil:
			return f(e)
		case err.Domain == "" && readable && ctx.Err() == nil:
			readable = false
			c.unreadable(err)
		}
		return true // a damaged entry is reported by load, when somebody asks for its domain
	})
	if whole && readable {
		c.readable("")
	}
	return whole
}

// unreadable reports that the entry of err.Domain could not be read, or a part of the store if
// that is empty. It logs only the first failure, until readable.
func (c *Client) unreadable(err *Error) {
	c.stats.storeErrors.Add(1)
	first := c.readFailed.CompareAndSwap(nil, &err.Domain)
	if first || err.Domain != "" {
		c.emitError(EventStore, nil, err)
	}
	if first {
		c.log.Error("mtasts: the store cannot be read; mail for domains that are not in memory is deferred", "domain", err.Domain, "error", err)
	}
}

// readable notes that an entry was read, or the whole store if domain is empty. If that could
// not be read before, it reports that the store can be read again.
func (c *Client) readable(domain string) {
	failed := c.readFailed.Load()
	if failed == nil || domain != "" && domain != *failed {
		return
	}
	if c.readFailed.CompareAndSwap(failed, nil) {
		c.emit(Event{Kind: EventStore, Reason: ReasonStoreReadable})
		c.log.Info("mtasts: the store can be read again")
	}
}
