// Package cache holds values until they expire. It knows octets, sizes and times, and no
// policy.
//
// [OpenBolt] opens a [Bolt], the store to use: a file that outlives the process. [Memory]
// loses everything when the process ends. [LRU] is a bounded cache, to be put in
// front of a store.
//
// # Which one loses what
//
// MTA-STS rests on what a sender has learnt before an attack begins (RFC 8461, Sections
// 3.3 and 10.2). Whoever can make a sender lose that can make it deliver without protection.
//
// Anybody can evict an entry of an LRU: it is enough to have the sender look up as many
// other domains as the LRU holds. A Memory loses everything at the next restart, a Bolt when
// its file is lost. No store removes what has expired; mtasts.Client.Run does.
//
// # The file
//
// A Bolt is a bbolt file that one process at a time has open. [Bolt.Backup] copies it
// meanwhile; a copy by other means may be damaged. A new file is made as
// "go-mtasts-new-store-" and a number beside it. What a crash leaves there may be removed.
//
// # Damage
//
// Each value has a checksum. A value that does not match it is an error, and so is a miss
// beside such an entry. After a panic of bbolt the store reads on, and writes nothing any
// more: restore the file from a backup, or begin with an empty one. But:
//   - Damage to inner pages can hide entries, or bring back old ones. Of 2,000 files damaged
//     at random, fewer than ten did so.
//   - Writing to a damaged file can damage more of it. In the worst case its pages go in
//     circles, and reading them takes all memory.
//   - If a file is cut or overwritten while it is open, calls under way may hang until the
//     process ends.
package cache
