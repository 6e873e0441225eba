// Package rediscache is a store of MTA-STS policies on a Redis or Valkey server, for relays
// that share what they have cached. It uses github.com/valkey-io/valkey-go.
//
//	store, err := rediscache.Open(valkey.ClientOption{
//		InitAddress: []string{"redis.example:6379"},
//		TLSConfig:   &tls.Config{},
//		Username:    "mtasts",
//		Password:    password,
//	}, nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//	sts := mtasts.New(store, nil)
//	defer sts.Close() // closes the store too
//	go sts.Run(ctx)
//
// TLS, authentication, Sentinel and Cluster are valkey-go's options. Open succeeds without a
// server: the store connects when there is one, and again when the connection is lost.
//
// # On the server
//
// The keys begin with [Options].Prefix. In a Cluster, they spread over all slots.
//
//	PREFIX:1:DOMAIN      an entry; 1 is the version of its format
//	PREFIX:lease:NAME    a lease
//	PREFIX:alert:DOMAIN  written and removed in one step, for the notice that this causes
//
// These are the rights that an ACL user needs. Without +info, the store does not find out that the
// server evicts policies:
//
//	~mtasts:* -@all +ping +hello +info +client +cluster|slots +cluster|shards
//	+getrange +set +pttl +del +scan +eval +evalsha +script|load
//
// The server removes an entry a day or more after its policy has expired. The life of an entry is
// sent as a duration, so it does not matter what the server's clock says.
//
// # Eviction
//
// A policy must not be lost before it expires (RFC 8461, Section 3.3), so set maxmemory-policy
// noeviction. With any other, an attacker who publishes many policies makes the server evict
// those of others. The store then logs a warning, and [Stats].Eviction names the policy.
// Set maxmemory too, since [mtasts.Options].Quota does not apply: a full server refuses new
// policies, and they live in memory only. Persistence (RDB or AOF) is advisable. A Write is as
// durable as the server makes it.
package rediscache
