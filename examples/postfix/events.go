package main

import (
	"slices"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

// maxEvents is how many events of each kind the status page shows.
const maxEvents = 50

// An eventLog keeps the last events that an operator wants to see. Its zero value is ready
// for use.
type eventLog struct {
	mu       sync.Mutex
	changes  []event // of policies
	alarms   []event // refreshes that failed, evictions, the store, this machine
	storeBad bool
}

// An event is what is kept of a mtasts.Event, whose policy can be large.
type event struct {
	Time         time.Time
	Kind, Domain string
	Text         string // one line of printable ASCII
}

// add is the Report of the client.
func (l *eventLog) add(e mtasts.Event) {
	kept := event{Time: e.Time, Kind: string(e.Kind), Domain: e.Domain, Text: e.Reason}
	if e.Err != nil {
		kept.Text = e.Err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Kind {
	case mtasts.EventChange:
		if e.Previous != nil && e.Policy != nil {
			kept.Text += ": " + string(e.Previous.Mode) + " to " + string(e.Policy.Mode)
		}
		l.changes = push(l.changes, kept)
	case mtasts.EventRefresh, mtasts.EventEvicted, mtasts.EventSystem:
		l.alarms = push(l.alarms, kept)
	case mtasts.EventStore:
		l.storeBad = e.Err != nil
		l.alarms = push(l.alarms, kept)
	}
}

// push puts e in front, and drops the oldest.
func push(list []event, e event) []event {
	return slices.Insert(list[:min(len(list), maxEvents-1)], 0, e)
}

// snapshot returns the changes and alarms, the latest first, and whether the store fails.
func (l *eventLog) snapshot() (changes, alarms []event, storeBad bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.changes), slices.Clone(l.alarms), l.storeBad
}
