//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/smtp"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	relayed    = 1000 // messages
	relayKill  = 8    // times
	submitters = 4    // clients at a time
)

// relayKills submits messages to a relay that is killed again and again. Each message that it has
// accepted arrives or is bounced. A copy too many is explained by a client that had no reply and so
// submitted again, or by the window after DATA: one message for each next hop and kill.
func relayKills(t *testing.T, r *relay) {
	domains := []string{goodDomain, testingDomain, attackedDomain, deadDomain}
	address := func(i int) string { return fmt.Sprintf("m%d@%s", i, domains[i%len(domains)]) }
	const queueTime = 20 * time.Second
	r.start(t, queueTime)
	var accepted, unanswered atomic.Int64
	var clients sync.WaitGroup
	for first := range submitters {
		clients.Go(func() {
			c := &submitter{addr: r.addr + ":2525", unanswered: &unanswered}
			defer c.close()
			for i := first; i < relayed; i += submitters {
				if !c.submit(t, address(i)) {
					return
				}
				accepted.Add(1)
			}
		})
	}
	for kill := range int64(relayKill) { // during the first half
		eventually(t, "the clients go on", func() error {
			if n := accepted.Load(); n < (kill+1)*relayed/(2*relayKill) {
				return fmt.Errorf("%d messages accepted", n)
			}
			return nil
		})
		r.kill(t)
		r.start(t, queueTime)
	}
	clients.Wait()
	r.wait(t, 8*time.Minute)
	r.daemon.stop(t)

	copies, bounced := r.received(t)
	extra := int64(0)
	for i := range relayed {
		to := address(i)
		arrived, returned := copies[to], bounced[to]
		delivered := i%len(domains) < 2
		if delivered && (arrived < 1 || returned > 0) || !delivered && (arrived > 0 || returned < 1) {
			t.Errorf("%s: %d copies and %d bounces", to, arrived, returned)
		}
		extra += int64(arrived + returned - 1)
	}
	const hops = 3 // at which a message can arrive twice: the good domain, the testing one, and that of the sender
	if most := unanswered.Load() + relayKill*hops; extra > most {
		t.Errorf("%d copies or bounces too many, of which kills explain %d", extra, most)
	}
	t.Logf("%d messages submitted again without a reply, %d copies or bounces too many", unanswered.Load(), extra)
}

// A submitter is a client that tries again until its message is accepted.
type submitter struct {
	addr       string
	session    *smtp.Client
	unanswered *atomic.Int64 // messages that may have been accepted, but without a reply
}

func (c *submitter) close() {
	if c.session != nil {
		c.session.Close()
		c.session = nil
	}
}

// submit reports whether a message has been accepted. If not, the test has failed.
func (c *submitter) submit(t *testing.T, to string) bool {
	for end := time.Now().Add(patience); ; <-time.After(20 * time.Millisecond) {
		err := c.try(to)
		if err == nil {
			return true
		}
		c.close()
		if time.Now().After(end) {
			t.Errorf("submitting for %s: %v", to, err)
			return false
		}
	}
}

func (c *submitter) try(to string) (err error) {
	if c.session == nil {
		if c.session, err = smtp.Dial(c.addr); err != nil {
			return err
		}
	}
	if err := c.session.Mail("sender@" + bouncesDomain); err != nil {
		return err
	}
	if err := c.session.Rcpt(to); err != nil {
		return err
	}
	w, err := c.session.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, "Subject: hello\r\n\r\nGood morning, "+to+".\r\n"); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		c.unanswered.Add(1)
		return err
	}
	return nil
}
