package tlsrpt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

const (
	checkInterval = 5 * time.Minute // between two searches for reports that are due
	maxSending    = 64              // at a time; a silent receiver holds one up for minutes
	grace         = 5 * time.Second // for the reports that are being sent when Run ends
)

// Run sends the reports about the days that are over, until ctx ends or the Collector is closed.
// It returns the cause of the end of ctx. A second call waits for the end of the first.
func (c *Collector) Run(ctx context.Context) error {
	c.running <- struct{}{}
	defer func() { <-c.running }()
	if err := c.ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	for n := 1; ; n++ {
		c.sendDue(ctx)
		if n%int(24*time.Hour/checkInterval) == 0 { // Anybody can make refusals.
			_ = c.load(refusedPrefix)
		}
		select {
		case <-time.After(checkInterval):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// sendDue sends the reports that are due.
func (c *Collector) sendDue(ctx context.Context) {
	sending, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, end) })()
	var work sync.WaitGroup
	defer work.Wait()
	places := make(chan struct{}, maxSending)
	for _, e := range c.due() {
		if places <- struct{}{}; ctx.Err() != nil {
			return
		}
		work.Go(func() {
			c.send(sending, e)
			<-places
		})
	}
}

// due returns the entries whose reports are due.
func (c *Collector) due() (due []*entry) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for day, entries := range c.days {
		if day >= dayOf(now) { // None of them is due, and they may be many.
			continue
		}
		for _, e := range entries {
			if !e.Next.After(now) {
				due = append(due, e)
			}
		}
	}
	return due
}

// dueAt is when a report is first sent, spread over most of the following day (RFC 8460,
// Section 4.1: "delivered after some delay"). The contact is part of it, so that not all
// senders send at one moment. The day is not: a domain gets its reports at the same time each
// day.
func (c *Collector) dueAt(day int64, domain string) time.Time {
	const first, span = 15 * time.Minute, 20 * time.Hour
	hash := sha256.Sum256([]byte(c.opts.Contact + " " + domain))
	part := time.Duration(binary.BigEndian.Uint16(hash[:]))
	return startOf(day + 1).Add(first + span*part>>16)
}
