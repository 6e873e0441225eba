package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"os"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/mtasts"
)

// recheckTime is for how much longer a message is kept whose policy cannot be checked: see
// mtasts.Client.Recheck.
const recheckTime = 24 * time.Hour

// attemptLimit is for an attempt up to DATA, in addition to the limits of each step (RFC 5321,
// Section 4.5.3.2): a domain may have any number of MX hosts, and all of them may be slow.
const attemptLimit = time.Hour

// attempt tries to deliver m. The attempt is on disk before it begins: a process that crashes each
// time must not try again without a pause.
func (q *queue) attempt(ctx context.Context, m *message) {
	now := time.Now()
	q.mu.Lock()
	m.Tries++
	m.Next = now.Add(backoff(q.retry, m.Tries))
	if end := m.Arrived.Add(q.queueTime); now.Before(end) && end.Before(m.Next) {
		m.Next = end
	}
	q.mu.Unlock()
	if m.Bounce != "" || len(m.To) == 0 {
		q.finish(m) // which has failed before
		return
	}
	if err := q.spool.save(m); err != nil {
		q.log("%s: not tried: %v", m.ID, err)
		return
	}
	text, err := os.Open(q.spool.path(m.ID, ".eml"))
	if err != nil {
		q.log("%s: not tried: %v", m.ID, err)
		return
	}
	defer text.Close()
	var to []string
	for _, r := range m.To {
		to = append(to, r.Address)
	}
	last := now.Sub(m.Arrived) >= q.queueTime
	limited, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	outcome := q.sender.Deliver(limited,
		delivery.Message{From: m.From, To: to, Data: text, TLSOptional: m.TLSOptional, Last: last})
	q.settle(ctx, m, text, outcome, last)
}

// backoff returns the time from an attempt to the next.
func backoff(retry time.Duration, tries int) time.Duration {
	pause := retry << min(max(tries, 1)-1, 6) // 5 hours at most if retry is 5 minutes
	return pause/2 + mathrand.N(pause)
}

// settle stores the outcome of an attempt. A process that is killed after the host has replied to
// the message, and before this is on disk, delivers the message twice.
func (q *queue) settle(ctx context.Context, m *message, text io.ReadSeeker, outcome *delivery.Outcome, last bool) {
	var left []recipient
	var failed []failure
	for _, r := range m.To {
		err := outcome.Errors[r.Address]
		rejection, rejected := errors.AsType[*delivery.Rejection](err)
		final := rejected || errors.Is(err, mtasts.ErrInvalidDomain)
		keep := errors.Is(err, delivery.ErrUnchecked) && time.Since(m.Arrived) < q.queueTime+recheckTime
		switch {
		case err == nil:
			q.log("%s: delivered to <%s>", m.ID, r.Address)
		case final || last && !keep && ctx.Err() == nil:
			q.log("%s: failed for <%s>: %v", m.ID, r.Address, err)
			f := failure{Address: r.Address, Err: err, Policy: outcome.Policy, Expired: !final}
			if rejected {
				f.MX = rejection.Host
			}
			failed = append(failed, f)
		default:
			if ctx.Err() == nil {
				r.Error = describe(err)
				q.log("%s: deferred for <%s>: %s", m.ID, r.Address, r.Error)
			}
			left = append(left, r)
		}
	}
	bounce, err := q.writeBounce(m, text, failed)
	if err != nil {
		q.log("%s: no bounce, so that it is tried again: %v", m.ID, err)
		for _, f := range failed {
			left = append(left, recipient{f.Address, describe(f.Err)})
		}
	}
	q.mu.Lock()
	if ctx.Err() != nil && len(left) == len(m.To) {
		m.Tries, m.Next = m.Tries-1, time.Now()
	}
	m.To, m.Bounce = left, bounce
	q.mu.Unlock()
	if bounce != "" {
		if err := q.spool.save(m); err != nil {
			q.log("%s: the outcome is not stored: %v", m.ID, err)
			return
		}
	}
	q.finish(m)
}

// describe returns err as one line, with its enhanced status code if it has one of its own.
func describe(err error) string {
	text := cli.Printable(err.Error())
	if held, ok := errors.AsType[*mtasts.Error](err); ok {
		return held.EnhancedCode() + " " + text
	}
	return text
}

// writeBounce writes the text of a bounce about failed, and returns its ID.
func (q *queue) writeBounce(m *message, text io.ReadSeeker, failed []failure) (id string, err error) {
	if len(failed) == 0 {
		return "", nil
	} else if m.From == "" { // RFC 5321, Section 6.1: no bounce of a bounce
		q.log("%s: dropped: it is a bounce, and cannot be delivered", m.ID)
		return "", nil
	}
	if _, err := text.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	b := bounce{Hostname: q.sender.Helo, To: m.From, Arrived: m.Arrived, Text: text, Failed: failed}
	notice, err := b.message()
	if err != nil {
		return "", err
	}
	id = rand.Text()
	if err := q.spool.put(id, ".eml", notice); err != nil {
		return "", err
	}
	return id, nil
}

// finish stores the outcome of an attempt and queues the bounce. On disk, m has the ID of the bounce
// until the bounce has an envelope, and the bounce is not tried before. So a kill at any moment
// neither loses nor doubles it. After an error, finish is called again at the time of the next
// attempt.
func (q *queue) finish(m *message) {
	var bounces []*message
	var err error
	if m.Bounce != "" {
		now := time.Now()
		b := &message{ID: m.Bounce, To: []recipient{{Address: m.From}}, Arrived: now, Next: now}
		bounces = append(bounces, b)
		err = q.spool.save(b)
	}
	stored := *m
	stored.Bounce = ""
	switch {
	case err != nil:
	case len(m.To) > 0:
		err = q.spool.save(&stored)
	default:
		err = q.spool.remove(m)
	}
	if err != nil {
		q.log("%s: the outcome is not stored: %v", m.ID, err)
		return
	}
	q.mu.Lock()
	m.Bounce = ""
	if len(m.To) == 0 {
		delete(q.messages, m.ID)
	}
	q.mu.Unlock()
	q.add(bounces...)
}
