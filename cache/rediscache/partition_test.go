package rediscache_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

// A link is a slow way to a server, which can be cut.
type link struct {
	addr  string
	delay time.Duration // of what is read from either side at once
	cut   atomic.Bool
	conns sync.Map
}

func startLink(t *testing.T, server string, delay time.Duration) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{addr: listener.Addr().String(), delay: delay}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", server)
			if err != nil || l.cut.Load() {
				near.Close()
				continue
			}
			l.conns.Store(near, far)
			work.Go(func() { l.copy(near, far) })
			work.Go(func() { l.copy(far, near) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		l.sever()
		work.Wait()
	})
	return l
}

func (l *link) copy(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	for b := make([]byte, 64<<10); ; {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		<-time.After(l.delay)
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// sever ends what is under way, and refuses what is new until cut is false.
func (l *link) sever() {
	l.cut.Store(true)
	l.conns.Range(func(near, far any) bool {
		near.(net.Conn).Close()
		far.(net.Conn).Close()
		return true
	})
}

func TestARelayOnASlowLinkThatIsCutIsNotTalkedDown(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	f := newFleet(t, s.option())
	f.publish(domain, "1", "mx.example.com")
	near := f.relay(nil)
	f.enforced(near, domain, "1")
	f.saved(near)
	f.forge(domain)
	l := startLink(t, s.addr, 200*time.Millisecond)
	f.option.InitAddress = []string{l.addr}
	far := f.relay(nil)
	f.enforced(far, domain, "1") // from the server
	began := time.Now()
	f.enforced(far, domain, "1")
	if took := time.Since(began); took > 100*time.Millisecond {
		t.Errorf("a cached answer took %v", took)
	}

	l.sever()
	f.enforced(far, domain, "1")
	f.deferred(far, "other.example")
	f.publish(domain, "2", "mx2.example.com")
	if _, err := near.Recheck(t.Context(), domain); err != nil {
		t.Fatal(err)
	}
	f.saved(near)
	f.forge(domain)
	f.enforced(far, domain, "1")

	l.cut.Store(false)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if !eventually(func() bool {
		p, err := far.PolicyFor(ctx, domain)
		if err == nil && p.Mode != mtasts.ModeEnforce {
			t.Fatalf("mode %q: %v", p.Mode, p.Cause)
		}
		return err == nil && p.ID == "2"
	}) {
		t.Error("the link is back, and the relay has not the new policy")
	}
}
