package mtasts

import (
	"testing"
	"time"
)

// A reader must never see the old policy with the end of the new one.
func TestNoAnswerPastItsEndWhileAnotherPolicyReplacesIt(t *testing.T) {
	c := New(nil, nil)
	defer c.Close()
	now := time.Now()
	expired := &Policy{Domain: "example.com", Mode: ModeEnforce, Expires: now.Add(-time.Second)}
	others := []*Policy{
		noPolicy("example.com", closedError("example.com")),
		{Domain: "example.com", Mode: ModeEnforce, Expires: now.Add(time.Hour)},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 200_000 {
			e := new(cacheEntry)
			e.setPolicy(expired)
			e.lastUse.Store(now.Unix())
			e.checkAt.Store(int64(time.Hour))
			c.hold("example.com", e)
			e.setPolicy(others[n%2])
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
		}
		if c.fresh("example.com") == expired {
			t.Error("an expired policy was answered")
			<-done
			return
		}
	}
}
