// Package cache remembers values for as long as they must be remembered. It
// knows octets, sizes and times, and no policy.
//
// [OpenBolt] opens a [Bolt], the store to use: a file that outlives the process
// and forgets nothing before it has expired. [Memory] is a store with the same
// methods that forgets everything when the process ends. [LRU] is a bounded
// memory of the most recently used, to be put in front of a store.
//
// # Which one forgets what
//
// MTA-STS rests on what a sender has learnt before an attack begins (RFC 8461,
// Sections 3.3 and 10.2). Whoever can make a sender forget can make it deliver
// without protection, so each kind of memory has to be asked who can do that.
//
// An LRU forgets at the will of strangers: to evict a domain it is enough to
// have the sender look up about as many others as the LRU holds, and a few messages
// with many recipients may do that. It saves time and is no memory on its own.
//
// A Memory forgets when the process ends. An attacker has only to wait for the
// next restart.
//
// A Bolt forgets when its file is lost. Damage to the file does not make it
// forget either: what can no longer be read is an error, and never taken for
// something that is not there.
//
// # The file
//
// The file of a Bolt is a bbolt file with two buckets: "go-mtasts store" has the
// format version, "entries" has the entries, and in front of them, under keys that
// begin with the octet 1, what the values of several entries end with. Each value
// begins with a checksum and the times of the entry. A new one is made as
// "go-mtasts-new-store-" and a number beside it; what a crash leaves under such a name
// is of no use and may be removed.
//
// The log beside it, "-wal", has what was stored last, until there is enough of it to
// be worth a transaction of bbolt, or the store is closed. It carries the store's random
// id, and is not taken for that of another. To leave a log behind is to lose what only
// it has. A new one is made as "-wal-new".
//
// One process has the files open at a time. To copy them, stop the program: a copy of a
// file that is being written is a damaged one, and a file that is copied over one in
// use damages that. A store is best given a directory of its own.
package cache
