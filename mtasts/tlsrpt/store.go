package tlsrpt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

const (
	writeInterval = 5 * time.Second  // an outcome is in memory alone for as long
	storeLimit    = 10 * time.Second // for a store that hangs
	scanBatch     = 100              // entries in one read
	maxBatch      = 1000             // and in one write, so that none takes too long

	dayLayout     = "20060102" // the keys of entries begin with it
	refusedPrefix = "refused-" // and those of destinations that refuse reports with this
)

func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

func startOf(day int64) time.Time { return time.Unix(day*24*60*60, 0).UTC() }

func (e *entry) key() string {
	return fmt.Sprintf("%s-%.16x", startOf(e.Day).Format(dayLayout), sha256.Sum256([]byte(e.Domain)))
}

// change is the change that stores e. It has no time: the clock may be set, and the last
// change is to count.
func (e *entry) change() cache.Change {
	var b bytes.Buffer
	_ = gob.NewEncoder(&b).Encode(e) // does not fail: the types are known
	return cache.Change{Key: e.key(), Value: b.Bytes(), Expires: startOf(e.Day + 8)}
}

// load reads the entries of the store after a key into memory, and removes refusals that are over.
func (c *Collector) load(after string) error {
	for {
		var over []cache.Change
		ctx, cancel := context.WithTimeout(context.Background(), storeLimit)
		keys, values, err := c.store.Scan(ctx, after, scanBatch)
		cancel()
		if c.stored(err) != nil && len(keys) == 0 {
			return fmt.Errorf("tlsrpt: reading the store: %w", err)
		}
		for i, key := range keys {
			e := new(entry)
			if strings.HasPrefix(key, refusedPrefix) {
				if !refuses(values[i]) {
					over = append(over, cache.Change{Key: key})
				}
			} else if err := gob.NewDecoder(bytes.NewReader(values[i])).Decode(e); err != nil {
				return fmt.Errorf("tlsrpt: the store holds something else than counts under %+.60q: %w", key, err)
			} else {
				c.put(e)
				c.stats.Memory += e.Size
			}
			after = key
		}
		if err := c.write(over...); err != nil || len(keys) == 0 {
			return err
		}
	}
}

// save writes those of entries that have changed; without entries, all that have changed. If
// that fails, they are written with the next ones.
func (c *Collector) save(entries ...*entry) error {
	c.storing.Lock() // An older state must not be written over a later one.
	defer c.storing.Unlock()
	c.mu.Lock()
	if len(entries) == 0 {
		entries, c.changed = c.changed, nil
	}
	entries = slices.DeleteFunc(entries, func(e *entry) bool {
		changed := e.changed
		e.changed = false
		return !changed
	})
	c.mu.Unlock()
	var err error
	for batch := range slices.Chunk(entries, maxBatch) {
		changes := make([]cache.Change, len(batch))
		for i, e := range batch {
			c.mu.Lock()
			changes[i] = e.change()
			c.mu.Unlock()
		}
		if err = c.write(changes...); err != nil {
			break
		}
	}
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, e := range entries {
			c.markChanged(e)
		}
		if !c.closed {
			c.timer.Reset(time.Minute) // The store may fail for long.
		}
	}
	return err
}

// write makes changes in the store.
func (c *Collector) write(changes ...cache.Change) error {
	if len(changes) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeLimit)
	defer cancel()
	return c.stored(c.store.Write(ctx, changes))
}

// stored counts an error of the store. It logs one an hour.
func (c *Collector) stored(err error) error {
	if err == nil {
		return nil
	}
	c.mu.Lock()
	c.stats.StoreErrors++
	quiet := time.Since(c.logged) < time.Hour
	if !quiet {
		c.logged = time.Now()
	}
	c.mu.Unlock()
	if !quiet {
		c.log.Error("tlsrpt: the store fails; outcomes stay in memory, and what cannot be stored is not sent", "error", err)
	}
	return err
}
