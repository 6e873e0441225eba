package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/delivery"
)

const (
	maxQueue      = 50_000 // messages, after which no more are accepted
	maxDeliveries = 100    // at a time, one for each next hop
	maxReceived   = 50     // header fields Received, after which a message is in a loop
)

// A queue delivers the messages in a spool.
type queue struct {
	spool     spool
	sender    *delivery.Sender
	queueTime time.Duration // until a message is bounced
	retry     time.Duration // from the first attempt to the second
	log       func(format string, args ...any)

	mu       sync.Mutex // protects what follows, and changes of a message
	messages map[string]*message
	busy     map[string]bool // by next hop

	wake chan struct{}
}

func newQueue(cfg *config, sender *delivery.Sender) *queue {
	return &queue{
		spool: spool{cfg.spool, sender.Log}, sender: sender, queueTime: cfg.queueTime, retry: cfg.retry, log: sender.Log,
		messages: make(map[string]*message), busy: make(map[string]bool), wake: make(chan struct{}, 1),
	}
}

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
	}
	if received > maxReceived {
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
	return received, tlsOptional, nil // a line that is too long ends the header
}

// load adds what is in the spool. What a wrong clock has put off for longer than backoff does is due.
func (q *queue) load() error {
	messages, err := q.spool.load()
	if err != nil {
		return err
	}
	now := time.Now()
	for _, m := range messages {
		if m.Arrived.After(now) {
			m.Arrived = now
		}
		if m.Next.After(now.Add(q.retry << 7)) {
			m.Next = now
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
		m.hop = m.ID // of one that only has to be stored
		if len(m.To) > 0 {
			m.hop = q.sender.NextHop(m.To[0].Address)
		}
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
		select {
		case <-ctx.Done():
		case <-q.wake:
		case <-time.After(q.start(ctx, &attempts)):
		}
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
		} else if !q.busy[m.hop] && len(q.busy) < maxDeliveries {
			q.busy[m.hop] = true
			attempts.Go(func() {
				q.attempt(ctx, m)
				q.mu.Lock()
				delete(q.busy, m.hop)
				q.mu.Unlock()
				q.wakeUp()
			})
		}
	}
	return wait
}
