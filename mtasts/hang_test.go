package mtasts_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// kilobyte is a policy file of about that size.
func kilobyte(mode mtasts.Mode) string {
	return mtaststest.Policy(mode, 365*day, "mx.example.com") + strings.Repeat("#", 850)
}

// hungStore never finishes a write.
type hungStore struct{ mtasts.Store }

func (hungStore) Put(ctx context.Context, _ string, _ []byte, _, _ time.Time) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAStoreThatHangsHoldsUpNeitherAnswersNorClose(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.store = hungStore{e.store}
		e.restart()
		const domains = 2000
		name := func(i int) string { return fmt.Sprintf("d%d.example", i) }
		for i := range domains {
			e.Publish(name(i), "1", mtaststest.Policy(mtasts.ModeEnforce, 365*day, "mx.example.com"))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		answers := make(chan error)
		for i := range domains {
			go func() {
				p, err := e.client.PolicyFor(ctx, name(i))
				if err == nil && p.Mode != mtasts.ModeEnforce {
					err = errors.New("another policy")
				}
				answers <- err
			}()
		}
		for range domains {
			if err := <-answers; err != nil {
				t.Errorf("no answer: %v", err)
			}
		}
		start := time.Now()
		err := e.client.Close()
		if took := time.Since(start); err == nil || took > 30*time.Second {
			t.Errorf("Close took %v: %v; want an error within half a minute", took, err)
		}
		e.start()
		e.store = nil
	})
}

// deafStore cannot be walked through.
type deafStore struct {
	mtasts.Store
	walks int
}

func (s *deafStore) Scan(context.Context, string, int) ([]string, [][]byte, error) {
	s.walks++
	return nil, nil, errBroken
}

func TestAStoreThatCannotBeWalkedThroughStillTakesPolicies(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.Quota = 30_000
		deaf := &deafStore{Store: e.store}
		e.store = deaf
		e.restart()
		stop := e.run()
		for i := range 60 { // one domain, one entry
			e.Publish(domain, fmt.Sprint(i), kilobyte(mtasts.ModeEnforce))
			e.policy()
			e.sleep(6 * time.Minute)
		}
		e.Publish("new.example", "1", kilobyte(mtasts.ModeEnforce))
		e.policyFor("new.example")
		e.sleep(time.Minute)
		stop()
		if _, ok, err := e.store.Get(t.Context(), "new.example"); !ok || err != nil {
			t.Errorf("one entry is stored, and another not: %v", err)
		}
		if deaf.walks > 10 {
			t.Errorf("%d walks in six hours", deaf.walks)
		}
	})
}

// When Run ends it may have a use of each domain to note. They share their waits for the
// disk, and one that hangs is waited for once.
func TestManyUsesDoNotHoldUpTheEndOfRun(t *testing.T) {
	const domains = 640
	for what, disk := range map[string]func(mtasts.Store) mtasts.Store{
		"slow":  func(s mtasts.Store) mtasts.Store { return slowStore{s} },
		"hangs": func(s mtasts.Store) mtasts.Store { return hungStore{s} },
	} {
		play(t, func(t *testing.T, e *env) {
			good := e.store
			names := e.learnMany("d", domains)
			e.store = disk(good)
			e.restart()
			e.sleep(25 * time.Hour)
			stop := e.run()
			for _, name := range names {
				e.policyFor(name)
			}
			start := time.Now()
			stop()
			if took := time.Since(start); took > time.Minute {
				t.Errorf("%s: Run took %v to end", what, took)
			}
		})
	}
}
