// Package cache holds values for as long as they must be held. It knows octets, sizes and
// times, and no policy.
//
// [OpenBolt] opens a [Bolt], the store to use: a file that outlives the process and keeps
// what has not expired. [Memory] is a store with the same methods that loses everything
// when the process ends. [LRU] is a bounded memory of the most recently used, to be put in
// front of a store.
//
// # Which one loses what
//
// MTA-STS rests on what a sender has learnt before an attack begins (RFC 8461,
// Sections 3.3 and 10.2). Whoever can make a sender lose that can make it deliver
// without protection, so each kind of cache has to be asked who can do that.
//
// Anybody can evict an entry of an LRU: it is enough to have the sender look up about as
// many other domains as the LRU holds, and a few messages with many recipients may do that.
// It saves time and is no store.
//
// A Memory loses everything when the process ends. An attacker has only to wait for the
// next restart.
//
// A Bolt loses what it has when its file is lost.
//
// # The file
//
// The file of a Bolt is a bbolt file with two buckets, one for the format version and one
// for the entries. Each entry begins with a checksum over its key and all that follows, and
// its times. A new file is made beside its place and renamed, so that a crash leaves no
// half of one.
//
// One process has the file open at a time. [Bolt.Backup] copies it while it is open; a copy
// made in another way while it is written may be a damaged one.
//
// # Damage
//
// A damaged entry is an error, and never another value. An entry that is not there is
// believed to be absent only if both its neighbours are sound. What this does not give:
//
//   - Damage to the inner pages of bbolt's tree can hide keys: in a test with 2,000 files
//     damaged at random, in less than 1 % of them.
//   - Damage to bbolt's own lists can make it use much memory when it writes.
//   - A file that is truncated or overwritten while it is open makes calls fail or hang
//     until a restart.
//
// Expired entries stay until somebody removes them; the Run of a mtasts.Client does.
package cache
