package rediscache

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// A fallback is a local copy of what this relay has read and written on the server. A nil
// fallback holds nothing.
type fallback struct {
	store *cache.Bolt

	mu       sync.Mutex
	toLocal  map[string][]byte // entries that the server has and the copy lacks
	toServer map[string][]byte // and the reverse
	behind   bool              // the server has been away since the last walk through the copy
}

const (
	// syncEvery is the time between two walks through the copy. A walk removes what has expired.
	syncEvery = 24 * time.Hour
	syncBatch = 500

	// maxNoted bounds the memory for toLocal and toServer.
	maxNoted = 10_000
)

func openFallback(path string) (*fallback, error) {
	if path == "" {
		return nil, nil
	}
	store, err := cache.OpenBolt(path)
	return &fallback{store: store, toLocal: make(map[string][]byte), toServer: make(map[string][]byte)}, err
}

func (f *fallback) close() error {
	if f == nil {
		return nil
	}
	return f.store.Close()
}

// get returns the entry of the copy, or nil.
func (f *fallback) get(ctx context.Context, key string) ([]byte, error) {
	if f == nil {
		return nil, nil
	}
	c, ok, err := f.store.Entry(ctx, key)
	if !ok {
		return nil, err
	}
	return newEntry(&c), nil
}

// newer returns the entry that was fetched later: held, of the server, or local, of the copy. It
// notes the other one to be replaced. Expired entries count too: they say that a policy has
// ended.
func (f *fallback) newer(key string, held, local []byte) []byte {
	if f == nil || bytes.Equal(held, local) {
		return held
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.toLocal)+len(f.toServer) > maxNoted {
		clear(f.toLocal) // they are noted again when they are read again
		clear(f.toServer)
	}
	if local == nil || held != nil && bytes.Compare(held[:8], local[:8]) >= 0 {
		f.toLocal[key] = bytes.Clone(held)
		return held
	}
	f.toServer[key] = bytes.Clone(local)
	return local
}

// write makes changes in the copy.
func (f *fallback) write(ctx context.Context, changes []cache.Change) error {
	if f == nil || len(changes) == 0 {
		return nil
	}
	return f.store.Write(ctx, changes)
}

// returned notes that the server is back, and may lack what the copy has.
func (f *fallback) returned() {
	if f != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.behind = true
	}
}

// runCopy keeps copy and server the same until the store is closed.
func (s *Store) runCopy() {
	f := s.fallback
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	for synced := (time.Time{}); ; {
		s.exchange(s.ctx)
		f.mu.Lock()
		behind := f.behind
		f.behind = false
		f.mu.Unlock()
		if behind || time.Since(synced) > syncEvery {
			if synced = time.Now(); s.sync(s.ctx) != nil {
				synced = time.Time{} // try again
			}
		}
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
			defer cancel()
			s.exchange(ctx)
			return
		}
	}
}

// exchange makes the changes that newer has noted. What fails is noted again when it is read
// again.
func (s *Store) exchange(ctx context.Context) {
	f := s.fallback
	f.mu.Lock()
	toLocal, toServer := f.toLocal, f.toServer
	f.toLocal, f.toServer = make(map[string][]byte), make(map[string][]byte)
	f.mu.Unlock()
	var changes []cache.Change
	for key, entry := range toLocal {
		changes = append(changes, cache.Change{Key: key, Value: entry[headerSize:], Fetched: timeIn(entry), Expires: timeIn(entry[8:])})
	}
	if len(changes) > 0 {
		if err := f.store.Write(ctx, changes); err != nil {
			s.log.Error("rediscache: the fallback cannot be written", "error", err)
		}
	}
	if len(toServer) > 0 {
		_ = s.restore(ctx, toServer)
	}
}

// sync walks through the copy, restores on the server what is newer in the copy, and removes from
// the copy what has expired.
func (s *Store) sync(ctx context.Context) error {
	f := s.fallback
	for after := ""; ; {
		entries, err := f.store.Entries(ctx, after, syncBatch)
		if err != nil && len(entries) == 0 {
			return err
		}
		valid := make(map[string][]byte)
		var expired []cache.Change
		for _, c := range entries {
			if time.Since(c.Expires) > keptAfter {
				expired = append(expired, cache.Change{Key: c.Key, Fetched: c.Fetched})
			} else {
				valid[c.Key] = newEntry(&c)
			}
		}
		if err := s.restore(ctx, valid); err != nil {
			return err
		}
		if err := f.store.Write(ctx, expired); err != nil {
			return err
		}
		if len(entries) < syncBatch {
			return nil
		}
		after = entries[len(entries)-1].Key
	}
}

// timeIn returns the time in the first 8 octets of b.
func timeIn(b []byte) time.Time {
	return time.Unix(0, int64(binary.BigEndian.Uint64(b)-1<<63))
}
