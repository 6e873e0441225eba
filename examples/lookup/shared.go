package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/mtasts/go-mtasts/mtasts/diagnose"
)

const (
	// diagnosisLimit is for a diagnosis that somebody waits for at a browser.
	diagnosisLimit = 45 * time.Second

	// sharedFor is how long a report answers further questions about the same domain.
	sharedFor = time.Minute

	// maxShared bounds the reports that are kept, of which each has a MiB at most.
	maxShared = 100
)

var errBusy = errors.New("too many diagnoses are under way")

// shared are reports that several clients may get. Those who ask for the same domain at the
// same time wait for one diagnosis.
type shared struct {
	ctx      context.Context // of all diagnoses: that of one request ends when its client leaves
	cancel   context.CancelFunc
	diagnose func(ctx context.Context, domain string) *diagnose.Report
	places   chan struct{}
	running  sync.WaitGroup

	mu  sync.Mutex
	all *simplelru.LRU[string, *pending]
}

// A pending report is there when done is closed, and good until the time that is set then.
type pending struct {
	done   chan struct{}
	report *diagnose.Report
	until  time.Time
}

func newShared(diagnose func(context.Context, string) *diagnose.Report) *shared {
	all, _ := simplelru.NewLRU[string, *pending](maxShared, nil) // fails for a size below 1
	s := &shared{diagnose: diagnose, places: make(chan struct{}, maxDiagnoses), all: all}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// report returns the report of a policy domain. The error is errBusy or that of ctx.
func (s *shared) report(ctx context.Context, domain string) (*diagnose.Report, error) {
	p := s.start(domain)
	if p == nil {
		return nil, errBusy
	}
	select {
	case <-p.done:
		return p.report, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// start returns a report that is there or on its way, if need be by a new diagnosis; nil if
// none may begin.
func (s *shared) start(domain string) *pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.all.Get(domain)
	if ok && (p.until.IsZero() || time.Now().Before(p.until)) {
		return p
	}
	if s.ctx.Err() != nil {
		return nil
	}
	select {
	case s.places <- struct{}{}:
	default:
		return nil
	}
	p = &pending{done: make(chan struct{})}
	s.all.Add(domain, p)
	s.running.Go(func() {
		report := s.diagnose(s.ctx, domain)
		s.mu.Lock()
		p.report, p.until = report, time.Now().Add(sharedFor)
		s.mu.Unlock()
		close(p.done)
		<-s.places
	})
	return p
}

// close ends all diagnoses.
func (s *shared) close() {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.running.Wait()
}
