package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
)

const statusName = ".status" // a socket in the spool

func statusSocket(spool string) string { return filepath.Join(spool, statusName) }

// askStatus copies the status of the relay that runs in a spool to w.
func askStatus(spool string, w io.Writer) error {
	conn, err := net.Dial("unix", statusSocket(spool))
	if err != nil {
		return fmt.Errorf("no relay runs in %s: %w", spool, err)
	}
	defer conn.Close()
	_, err = io.Copy(w, conn)
	return err
}

// serveStatus writes the status to each who connects, until l is closed.
func serveStatus(l net.Listener, q *queue) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second)) // since the other side may not read
		q.status(conn)
		conn.Close()
	}
}

// status writes the queue and the policies as text.
func (q *queue) status(w io.Writer) {
	q.mu.Lock()
	var messages []message // whose recipients are replaced, never changed
	for _, m := range q.messages {
		messages = append(messages, *m)
	}
	q.mu.Unlock()
	slices.SortFunc(messages, func(a, b message) int { return a.Arrived.Compare(b.Arrived) })
	line := func(format string, args ...any) { fmt.Fprintln(w, cli.Printable(fmt.Sprintf(format, args...))) }
	line("%d messages", len(messages))
	for _, m := range messages {
		line("%s  from <%s>, arrived %s, tried %d times, next %s", m.ID, m.From, stamp(m.Arrived), m.Tries, stamp(m.Next))
		for _, r := range m.To {
			line("    <%s>  %s", r.Address, r.Error)
		}
	}
	line("policies")
	for c, err := range q.sender.Policies.All(context.Background()) {
		if err != nil {
			line("    %v", err)
			continue
		}
		line("    %-30s  %-8s  until %s, next refresh %s, %d failures", c.Policy.Domain, c.Policy.Mode,
			stamp(c.Policy.Expires), stamp(c.NextRefresh), c.Failures)
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
