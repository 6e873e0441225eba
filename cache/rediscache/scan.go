package rediscache

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"
)

const (
	// A server has its keys in no order. So the first Scan of a walk asks for all keys, and sorts
	// them. maxRun bounds how many of them it keeps for the next calls, and so its memory: some
	// 60 MB. A walk through a store of five million keys asks five times.
	maxRun = 1_000_000

	// maxRuns is how many walks at a time keep keys, and maxRunAge for how long they do.
	maxRuns   = 4
	maxRunAge = time.Minute

	// scanCount is the COUNT of SCAN. The server does nothing else meanwhile, for about a
	// millisecond.
	scanCount = 2000
)

// runs are the keys that walks under way come to next.
type runs struct {
	mu   sync.Mutex
	next map[string]run // by the key at which the walk is
}

type run struct {
	keys []string // in order
	end  bool     // there are no keys after these
	read time.Time
}

// Scan returns at most limit entries with keys greater than after, in byte order of the keys. It
// may leave out a key that was added since the walk began. In a Cluster it asks all nodes.
//
// Scan fails if ctx has ended or if a server cannot be reached and there is no Fallback.
func (s *Store) Scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	keys, values, err = s.scan(ctx, after, limit)
	if err != nil && keys == nil && s.fallback != nil && ctx.Err() == nil && s.ctx.Err() == nil {
		keys, values, err = s.fallback.store.Scan(ctx, after, limit)
	}
	return keys, values, wrap(err)
}

func (s *Store) scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error) {
	c, err := s.connected()
	if err != nil {
		return nil, nil, err
	}
	r, ok := s.runs.take(after)
	for len(keys) < limit {
		if len(r.keys) == 0 {
			if ok && r.end {
				break
			}
			if r, err = s.collect(ctx, c, after); err != nil {
				return nil, nil, err
			}
			if ok = true; len(r.keys) == 0 {
				break
			}
		}
		// The lack of a key that has been removed meanwhile does not end the walk.
		batch := r.keys[:min(len(r.keys), limit-len(keys))]
		r.keys, after = r.keys[len(batch):], batch[len(batch)-1]
		found, got, err := s.getAll(ctx, c, batch)
		if err != nil {
			return nil, nil, err
		}
		keys, values = append(keys, found...), append(values, got...)
	}
	if len(keys) == limit && limit > 0 && (len(r.keys) > 0 || r.end) {
		s.runs.put(keys[len(keys)-1], r)
	}
	return keys, values, nil
}

// getAll returns those of keys that are there, and their values.
func (s *Store) getAll(ctx context.Context, c valkey.Client, keys []string) (found []string, values [][]byte, err error) {
	commands := make(valkey.Commands, len(keys))
	for i, key := range keys {
		commands[i] = s.readCommand(c, key)
	}
	found = make([]string, 0, len(keys))
	for i, result := range c.DoMulti(ctx, commands...) {
		entry, err := entryIn(result)
		if err != nil {
			return nil, nil, err
		}
		if entry != nil {
			found, values = append(found, keys[i]), append(values, valueOf(entry))
		}
	}
	return found, values, nil
}

// collect returns the first maxRun keys after a key.
func (s *Store) collect(ctx context.Context, c valkey.Client, after string) (run, error) {
	var keys []string
	began, end := time.Now(), true
	// sort sorts keys, and drops what a server has returned twice, or a replica too, and what is
	// too much.
	sort := func() {
		slices.Sort(keys)
		keys = slices.Compact(keys)
		if len(keys) > maxRun {
			clear(keys[maxRun:])
			keys, end = keys[:maxRun], false
		}
	}
	for _, node := range c.Nodes() {
		for cursor := uint64(0); ; {
			command := node.B().Scan().Cursor(cursor).Match(s.entries + "*").Count(scanCount).Build()
			step, err := node.Do(ctx, command).AsScanEntry()
			if err != nil {
				return run{}, err
			}
			for _, key := range step.Elements {
				if key = strings.TrimPrefix(key, s.entries); key > after && checkKey(key) == nil {
					keys = append(keys, strings.Clone(key))
				}
			}
			if len(keys) >= 2*maxRun {
				sort()
			}
			if cursor = step.Cursor; cursor == 0 {
				break
			}
		}
	}
	if len(c.Nodes()) == 0 {
		return run{}, errors.New("no server is known")
	}
	sort()
	return run{keys, end, began}, nil
}

func (r *runs) take(after string) (run, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, ok := r.next[after]
	delete(r.next, after)
	if time.Since(next.read) > maxRunAge {
		return run{}, false
	}
	return next, ok
}

func (r *runs) put(after string, next run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = make(map[string]run)
	}
	for other := range r.next {
		if len(r.next) < maxRuns {
			break
		}
		delete(r.next, other) // of a walk that was left
	}
	r.next[after] = next
}
