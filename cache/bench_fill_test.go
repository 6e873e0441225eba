package cache

import "time"

// A BenchEntry is what a benchmark stores.
type BenchEntry struct {
	Key              string
	Value            []byte
	Shared           int // where its policy's text begins
	Fetched, Expires time.Time
}

// PutAll is PutShared for all entries, as if as many goroutines had called it at the
// same moment.
func (b *Bolt) PutAll(entries []BenchEntry) error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	queue := make([]*write, len(entries))
	for i, e := range entries {
		queue[i] = &write{
			key:    []byte(e.Key),
			record: record{fetched: e.Fetched, expires: e.Expires, value: e.Value},
			shared: e.Shared,
			done:   make(chan struct{}),
		}
	}
	b.queueMu.Lock()
	b.queue = queue
	b.queueMu.Unlock()
	b.storeQueue()
	for _, w := range queue {
		if w.err != nil {
			return w.err
		}
	}
	return nil
}
