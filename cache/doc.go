// Package cache holds values until they expire. It knows octets, sizes and times, and no
// policy.
//
// [OpenBolt] opens a [Bolt], the store to use: a file that outlives the process. [Memory] is
// a store that loses everything when the process ends. [LRU] is a bounded cache for use in
// front of a store.
//
// # Which one loses what
//
// MTA-STS rests on what a sender has cached before an attack begins (RFC 8461, Sections 3.3
// and 10.2). An attacker who makes it lose a policy can make it deliver without protection.
//
// Anybody can evict an entry of an LRU: it is enough to have the sender look up as many
// other domains as the LRU holds. A Memory loses everything at a restart. A Bolt loses
// everything with its file. No store removes expired entries; mtasts.Client.Run does.
//
// # The file
//
// A Bolt is a bbolt file. One process at a time can have it open. [Bolt.Backup] copies it
// while it is in use; a copy by other means may be damaged. A crash at the first start can
// leave a file "go-mtasts-new-store-" with a number beside the store. It may be removed.
//
// # Damage
//
// Each entry has a checksum. If it does not match, the entry is an error, and so is a miss
// beside it. After a panic of bbolt the store reads, but no longer writes: restore the file
// from a backup, or begin with an empty one. Some damage does worse:
//   - Damage to inner pages can hide entries, or bring back old ones. In tests with random
//     damage, at most one file in a hundred does so.
//   - Writing to a damaged file can damage more of it. In the worst case its pages form a
//     cycle, and reading them takes all memory.
//   - If a file is truncated or overwritten while it is open, calls under way may hang until
//     the process ends.
package cache
