package mtasts

import (
	"context"
	"time"
)

// A SharedStore is a [Store] that clients on several machines use at the same time. If the store
// of a [Client] is one, the client does more with it, so that a fleet of relays behaves like one
// with a larger cache:
//
//   - Each check reads the store before the DNS, and again before a fetch. A lease keeps other
//     clients from fetching the same policy meanwhile. Without it they would fetch it too, and
//     nothing worse.
//   - One client at a time walks through the store for [Client.Run], and refreshes what is due
//     until the next walk. Clients take turns.
//   - What another client has written is read again, in the background, when the store gives
//     notice of it, or else at the next check. A violation makes the domain due in all clients.
//   - A client that has a valid policy in memory writes it back if the store has lost it.
//
// The store itself removes what has expired, and [Options].Quota does not apply. What [Stats] says
// of the store is from the last walk of this client.
//
// A SharedStore keeps an entry longer than its policy lives, best for a day. A client that sees
// an expired entry knows that the policy has ended. One that finds none writes its own back.
//
// mtaststest.TestShared tests any SharedStore for this contract, and mtaststest.SharedMemory is
// one for tests.
type SharedStore interface {
	Store

	// Lease takes the lease called name, which has 1 to 300 octets of printable ASCII, for d. ok
	// is false, without an error, if any client holds it. Nobody gives a lease back: it ends
	// after d. It may also end earlier, when the store fails: a lease saves work, and nothing
	// depends on it.
	Lease(ctx context.Context, name string, d time.Duration) (ok bool, err error)

	// Alert causes a [Notice] about key, with Alert set, in all other clients. The store keeps
	// nothing of it, and a client that is not connected misses it.
	Alert(ctx context.Context, key string) error

	// Settle waits while an absent key proves nothing, because the store may have lost entries
	// that other clients have not had the time to write back: for some seconds after it was
	// opened, or has given notice of all keys. A second loss prolongs the wait. waited is
	// false, at once, if there was no need. An error counts like one of Get.
	Settle(ctx context.Context) (waited bool, err error)

	// Watch calls f with a Notice of each change that another client makes, until ctx ends. f
	// returns at once. It may be called for changes of the same client too, more than once, and
	// for keys that have not changed. If the store has no notices, Watch only waits for ctx.
	Watch(ctx context.Context, f func(Notice))
}

// A Notice says what has happened to a [SharedStore].
type Notice struct {
	// Key is the key whose value may have changed, or been lost. Empty: any key may have. A
	// store also says that when notices may have been lost, as by a new connection.
	Key string

	// Alert is set if the Notice comes from [SharedStore].Alert.
	Alert bool
}
