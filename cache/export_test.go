package cache

// SharedOctets is how much b keeps that several values end with.
func SharedOctets(b *Bolt) int {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	b.shared.hasRoom(&b.reader, b.state, nil)
	return maxAllShared - b.shared.room
}
