package mtasts

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

func unsavedPolicy(t *testing.T, domain, id string) *Policy {
	t.Helper()
	p := sample(t)
	p.Domain, p.ID = domain, id
	return p
}

// What has only been put off is not dropped, also if much is held by then.
func TestWhatIsPutOffIsHeld(t *testing.T) {
	c := New(new(cache.Memory), nil)
	defer c.Close()
	for range maxSaving {
		c.saving <- struct{}{}
	}
	c.unsaved.cost = maxUnsaved - 1
	first := c.unsaved.hold(unsavedPolicy(t, "a.example", "1"), time.Now(), false, 0)
	if c.reserve() {
		t.Fatal("there was a place")
	}
	c.unsaved.hold(unsavedPolicy(t, "b.example", "1"), time.Now(), false, 0) // by another look, meanwhile
	c.putOff(first, errLater)
	if c.unsaved.get("a.example") != first || c.unsaved.lost != 0 {
		t.Errorf("it is held: %v; lost: %d", c.unsaved.get("a.example") == first, c.unsaved.lost)
	}
}

// A policy that is being written has a place in the store, for the next one to take.
func TestWhatIsBeingWrittenIsReplaced(t *testing.T) {
	c := New(new(cache.Memory), nil)
	defer c.Close()
	first := c.unsaved.hold(unsavedPolicy(t, "a.example", "1"), time.Now(), false, 0)
	first.waits = true
	c.unsaved.retrying = true
	if w := c.waiting(); len(w) != 1 || w[0] != first { // as flush does before it writes
		t.Fatalf("%d wait", len(w))
	}
	if next := c.unsaved.hold(unsavedPolicy(t, "a.example", "2"), time.Now(), true, 0); !next.replaces {
		t.Error("the next one is taken for new")
	}
}

// Where more would be too much, callers wait for a place.
func TestCallersWaitWhereTooMuchIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(new(cache.Memory), nil)
		defer c.Close()
		for range maxSaving {
			c.saving <- struct{}{}
		}
		c.unsaved.cost = maxUnsaved + 1
		reserved := make(chan bool, 1)
		go func() { reserved <- c.reserve() }()
		synctest.Wait()
		if len(reserved) > 0 {
			t.Fatal("nobody waits")
		}
		<-c.saving
		if !<-reserved {
			t.Error("no place, after one was free")
		}
	})
}
