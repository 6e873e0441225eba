package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/mtasts"
)

const (
	maxQueue      = 50_000 // messages, after which no more are accepted
	maxDeliveries = 20     // at a time, one for each next hop
	maxReceived   = 50     // header fields Received, after which a message is in a loop
	maxHeader     = 64 << 10

	// recheckTime is for how much longer a message is kept whose policy cannot be checked: see
	// mtasts.Client.Recheck.
	recheckTime = 24 * time.Hour
)

// A queue delivers the messages in a spool.
type queue struct {
	spool     spool
	sender    *delivery.Sender
	queueTime time.Duration // until a message is bounced
	retry     time.Duration // from the first attempt to the second
	log       logger

	mu       sync.Mutex // protects what follows, and changes of a message
	messages map[string]*message
	busy     map[string]bool // by next hop

	wake chan struct{}
}

func newQueue(cfg *config, sender *delivery.Sender, log logger) *queue {
	return &queue{
		spool: spool{cfg.spool, log}, sender: sender, queueTime: cfg.queueTime, retry: cfg.retry, log: log,
		messages: make(map[string]*message), busy: make(map[string]bool), wake: make(chan struct{}, 1),
	}
}

var (
	errFull = errors.New("the queue is full")
	errLoop = errors.New("the message is in a loop")
)

// accept adds a message to the spool. When it returns nil, the message is on disk.
func (q *queue) accept(from string, to []string, text io.Reader) error {
	q.mu.Lock()
	full := len(q.messages) >= maxQueue
	q.mu.Unlock()
	if full {
		return errFull
	}
	temp, err := q.spool.write(text)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	received, tlsOptional, err := readHeader(temp)
	if err != nil {
		return err
	} else if received > maxReceived {
		return errLoop
	}
	now := time.Now()
	byDomain := make(map[string]*message)
	for _, address := range to {
		domain := strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
		m := byDomain[domain]
		if m == nil {
			m = &message{ID: rand.Text(), From: from, Arrived: now, Next: now, TLSOptional: tlsOptional}
			byDomain[domain] = m
		}
		m.To = append(m.To, recipient{Address: address})
	}
	messages := slices.Collect(maps.Values(byDomain))
	if err := q.spool.add(temp, messages...); err != nil {
		return err
	}
	for _, m := range messages {
		q.log("%s: accepted from <%s> for %d recipients such as <%s>", m.ID, m.From, len(m.To), m.To[0].Address)
	}
	q.add(messages...)
	return nil
}

// readHeader returns how often a message has been relayed, and whether it has the field
// "TLS-Required: No" (RFC 8689).
func readHeader(file string) (received int, tlsOptional bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() && lines.Text() != "" {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if strings.EqualFold(name, "Received") {
			received++
		} else if strings.EqualFold(name, "TLS-Required") {
			tlsOptional = strings.EqualFold(strings.TrimSpace(value), "No")
		}
	}
	return received, tlsOptional, lines.Err()
}

// load adds what is in the spool. Overdue messages are spread over a while.
func (q *queue) load() error {
	messages, err := q.spool.load()
	if err != nil {
		return err
	}
	for _, m := range messages {
		if soon := time.Now().Add(mathrand.N(q.retry)); m.Next.Before(soon) {
			m.Next = soon
		}
	}
	q.add(messages...)
	for _, m := range messages {
		if m.Bounce != "" {
			delete(q.messages, m.Bounce) // finish adds it
			q.finish(m)
		}
	}
	return nil
}

func (q *queue) add(messages ...*message) {
	q.mu.Lock()
	for _, m := range messages {
		q.messages[m.ID] = m
	}
	q.mu.Unlock()
	q.wakeUp()
}

func (q *queue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run delivers until ctx ends. Then it waits for the transactions in which DATA has begun.
func (q *queue) run(ctx context.Context) {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	for ctx.Err() == nil {
		timer := time.NewTimer(q.start(ctx, &attempts))
		select {
		case <-ctx.Done():
		case <-q.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// start starts the attempts that are due, and returns the time until the next one.
func (q *queue) start(ctx context.Context, attempts *sync.WaitGroup) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait := time.Hour
	for _, m := range q.messages {
		due := time.Until(m.Next)
		if due > 0 {
			wait = min(wait, due)
		} else if hop := q.hop(m); !q.busy[hop] && len(q.busy) < maxDeliveries {
			q.busy[hop] = true
			attempts.Go(func() {
				q.attempt(ctx, m)
				q.mu.Lock()
				delete(q.busy, hop)
				q.mu.Unlock()
				q.wakeUp()
			})
		}
	}
	return wait
}

// hop returns what only one attempt at a time may use.
func (q *queue) hop(m *message) string {
	if len(m.To) == 0 {
		return m.ID // the attempt only stores something
	}
	return q.sender.NextHop(m.To[0].Address)
}

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
	outcome := q.sender.Deliver(ctx, delivery.Message{From: m.From, To: to, Data: text, TLSOptional: m.TLSOptional, Last: last})
	q.settle(ctx, m, text, outcome, last)
}

// backoff returns the time from an attempt to the next.
func backoff(retry time.Duration, tries int) time.Duration {
	pause := retry << min(tries-1, 6) // 5 hours at most if retry is 5 minutes
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
		keep := errors.Is(err, delivery.ErrUnchecked) && time.Since(m.Arrived) < q.queueTime+recheckTime
		switch {
		case err == nil:
			q.log("%s: delivered to <%s>", m.ID, r.Address)
		case rejected || errors.Is(err, mtasts.ErrInvalidDomain) || last && !keep && ctx.Err() == nil:
			q.log("%s: failed for <%s>: %v", m.ID, r.Address, err)
			f := failure{Address: r.Address, Err: err, Policy: outcome.Policy, Expired: last}
			if rejected {
				f.MX = rejection.Host
			}
			failed = append(failed, f)
		case ctx.Err() == nil:
			r.Error = describe(err)
			q.log("%s: deferred for <%s>: %s", m.ID, r.Address, r.Error)
			left = append(left, r)
		default: // ctx has ended the attempt
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
	header := make([]byte, maxHeader)
	var n int
	if _, err = text.Seek(0, io.SeekStart); err == nil {
		n, _ = io.ReadFull(text, header) // mostly there is less
	}
	b := bounce{Hostname: q.sender.Helo, To: m.From, Arrived: m.Arrived, Header: header[:n], Failed: failed}
	temp, err := q.spool.write(strings.NewReader(string(b.message())))
	if err != nil {
		return "", err
	}
	id = rand.Text()
	return id, os.Rename(temp, q.spool.path(id, ".eml"))
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
