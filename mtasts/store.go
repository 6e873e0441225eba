package mtasts

import (
	"context"
	"time"
)

// A Store remembers policies across restarts: what a sender has learnt must
// hold until max_age is over (RFC 8461, Section 3.3), so a Store must not lose
// an entry before it has expired.
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
	// Get returns the value last put under key. A key that is not there is
	// ok == false and no error: an error means that the store could not be
	// read, and makes the client defer rather than deliver without a policy.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)

	// Put stores value under key, durably when it returns nil. fetched orders
	// the writes of one key: if the store holds a value with a later fetched
	// time that has not expired, it keeps that one and returns nil, so that two
	// processes cannot put an older policy over a newer one. What has expired counts
	// as absent, or an entry that was put while the clock was ahead would keep out
	// all later ones. Once the clock is past expires the store may drop the entry;
	// it never does so earlier.
	Put(ctx context.Context, key string, value []byte, fetched, expires time.Time) error

	// Delete removes key, unless the store holds a value with a later fetched
	// time that has not expired: that one stays, and Delete returns nil, so that whoever gives up an
	// entry because of what it saw cannot remove one that was put since. A key
	// that is not there is no error.
	Delete(ctx context.Context, key string, fetched time.Time) error

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
