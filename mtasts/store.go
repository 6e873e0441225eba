package mtasts

import (
	"context"
	"fmt"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// A Store keeps policies across restarts: what a sender has learnt must hold until
// max_age is over (RFC 8461, Section 3.3), so a Store must not lose an entry before it has
// expired.
//
// Keys are policy domains, 1 to 253 octets of lower-case ASCII (letters,
// digits, '-', '_', '.'). Values are opaque, at most 70 KiB. All methods may be
// called concurrently. Slices that a method returns belong to the caller;
// slices passed to a method are not kept after it returns.
//
// Every method must heed its ctx.
//
// If a Store is an [io.Closer], [Client.Close] closes it. The contract below is
// executable: mtaststest.TestStore runs it against any Store.
type Store interface {
	// Get returns the value last written under key. A key that is not there is
	// ok == false and no error: an error means that the store could not be
	// read, and makes the client defer rather than deliver without a policy.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)

	// Write makes changes, durably when it returns nil. They are made one after the
	// other, in one transaction if the store has any.
	//
	// Fetched orders the changes of one key: if the store holds a value with a later
	// Fetched that has not expired, that one stays, and this is no error. So two processes
	// cannot put an older policy over a newer one, and whoever removes an entry because of
	// what it saw cannot remove one that has come since. What has expired counts as absent,
	// or an entry that was written while the clock was ahead would keep out all later ones.
	// To remove a key that is not there is no error.
	//
	// Once the clock is past Expires the store may drop the entry; it never does so earlier.
	Write(ctx context.Context, changes []cache.Change) error

	// Scan returns, in byte order of the keys, at most limit entries whose
	// keys are greater than after. Fewer than limit entries mean that there
	// are no more. A caller walks the whole store in bounded steps by passing
	// the last key of one batch as the next after, beginning with "".
	//
	// An entry that cannot be read does not hide those that follow: Scan leaves it
	// out and returns the others together with an error, and the walk goes on after
	// the last of them. An error without entries means that nothing behind after can
	// be read.
	Scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error)
}

// load reads a policy and its last use from what is dirty, or else from the store. It is
// nil if there is none, and may have expired.
func (c *Client) load(name string) (p *Policy, used time.Time, err error) {
	if p, used := c.writer.get(name); p != nil {
		return p.afterClockChange(time.Now()), used, nil
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
			if plain := p.withoutUntil(time.Now()); plain != nil {
				p = plain
				c.writer.note(p, used, true)
			}
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

// scanBatch is how many entries are read from the store at a time, so that no store holds
// a transaction open for long.
const scanBatch = 500

// walk calls f with each entry of the store, valid or expired, and its size until f returns
// false. It reports whether it came to the end or to that. An entry that is damaged is left
// to whoever asks for it.
func (c *Client) walk(ctx context.Context, f func(p *Policy, used time.Time, size int) bool) bool {
	complained := false
	for after := ""; ctx.Err() == nil; {
		batch, cancel := context.WithTimeout(ctx, storeLimit)
		keys, values, err := c.store.Scan(batch, after, scanBatch)
		cancel()
		if err != nil && !complained && ctx.Err() == nil {
			complained = true
			c.unreadable(&Error{Reason: ReasonStoreUnreadable, Temporary: true, Err: fmt.Errorf("reading the store: %w", err)})
		}
		for i, key := range keys {
			p, used, err := decodeEntry(key, values[i], c.files.parse)
			if err == nil && !f(p.afterClockChange(time.Now()), used, len(key)+len(values[i])) {
				return true
			}
		}
		if len(keys) == 0 && err != nil {
			return false
		}
		if len(keys) < scanBatch {
			if !complained {
				c.allReadable()
			}
			return true
		}
		after = keys[len(keys)-1]
	}
	return false
}

// unreadable reports that the store could not be read: what it has of err.Domain, or on
// a walk through it.
func (c *Client) unreadable(err *Error) {
	c.stats.storeErrors.Add(1)
	first := c.readFailed.CompareAndSwap(nil, &err.Domain)
	if first || err.Domain != "" {
		c.emitError(EventStore, nil, err)
	}
	if first {
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
