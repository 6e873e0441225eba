package mtasts

import (
	"testing"
	"time"
)

// A use that is noted late does not replace a later one that waits to be written, and a use of
// an older policy does not bring that one back.
func TestALaterUseStaysNoted(t *testing.T) {
	old, newer := sample(t), sample(t)
	newer.stamp = newer.stamp.Add(time.Hour)
	late := newer.stamp.Add(time.Minute)
	w := newWriter(nil)
	w.note(newer, late, true)
	w.note(old, newer.stamp, true)
	if p, used := w.get(old.Domain); p != newer || !used.Equal(late) {
		t.Errorf("to be written are the policy of %v and the use at %v; want those of %v and %v", p.stamp, used, newer.stamp, late)
	}
}
