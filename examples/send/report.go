package main

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

// An event is an mtasts.Event as a line of JSON.
type event struct {
	Kind   mtasts.EventKind `json:"kind"`
	Time   time.Time        `json:"time"`
	Domain string           `json:"domain"`
	Mode   mtasts.Mode      `json:"mode,omitempty"` // of the policy, if one was applied
	ID     string           `json:"id,omitempty"`   // likewise
	MX     string           `json:"mx,omitempty"`
	Result mtasts.Result    `json:"result"` // "" with an empty error is success
	Reason string           `json:"reason,omitempty"`
	Error  string           `json:"error,omitempty"`
}

// reporter returns a function for mtasts.Options.Report that writes to w.
func reporter(w io.Writer) func(mtasts.Event) {
	var mu sync.Mutex // calls are concurrent
	out := json.NewEncoder(w)
	return func(e mtasts.Event) {
		line := event{Kind: e.Kind, Time: e.Time, Domain: e.Domain, MX: e.MX, Result: e.Result, Reason: e.Reason}
		if e.Policy != nil {
			line.Mode, line.ID = e.Policy.Mode, e.Policy.ID
		}
		if e.Err != nil {
			line.Error = e.Err.Error()
		}
		mu.Lock()
		defer mu.Unlock()
		out.Encode(line) // an error does not stop the delivery
	}
}
