package cache

// SharedOctets is how much b keeps that several values end with.
func SharedOctets(b *Bolt) int {
	b.shared.mu.RLock()
	defer b.shared.mu.RUnlock()
	return b.shared.size
}
