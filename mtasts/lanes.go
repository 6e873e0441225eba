package mtasts

import "sync"

// lanes run calls of the store beside each other, a bounded number at a time: a store
// can have them share what it costs to wait for the disk. 64 share that well, and are
// fewer than would disturb others who use the store.
type lanes struct {
	places chan struct{}
	work   sync.WaitGroup
}

func newLanes() *lanes { return &lanes{places: make(chan struct{}, 64)} }

// do runs f, once there is a place for it.
func (l *lanes) do(f func()) {
	l.places <- struct{}{}
	l.work.Go(func() {
		defer func() { <-l.places }()
		f()
	})
}

func (l *lanes) wait() { l.work.Wait() }
