package rediscache

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/valkey-io/valkey-go"
)

var _ mtasts.SharedStore = (*Store)(nil)

// Lease takes a lease. It ends earlier if the server loses it. One that has longer to live than d
// does not count: the clock of the server was set back, or nobody has set an end.
func (s *Store) Lease(ctx context.Context, name string, d time.Duration) (ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	c, err := s.connected()
	if err != nil {
		return false, wrap(err)
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	key := s.leases + name
	err = c.Do(ctx, c.B().Set().Key(key).Value("").Nx().Px(d).Build()).Error()
	if valkey.IsValkeyNil(err) {
		left, err := c.Do(ctx, c.B().Pttl().Key(key).Build()).AsInt64()
		if err != nil || left != -1 && left <= d.Milliseconds() {
			return false, wrap(err)
		}
		err = c.Do(ctx, c.B().Set().Key(key).Value("").Px(d).Build()).Error()
		return err == nil, wrap(err)
	}
	return err == nil, wrap(err)
}

// alertScript causes one notice, and leaves nothing. A key that expires would cause a second.
var alertScript = valkey.NewLuaScript("redis.call('SET', KEYS[1], '') return redis.call('DEL', KEYS[1])")

// Alert gives notice of key to all other clients.
func (s *Store) Alert(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := s.connected()
	if err != nil {
		return wrap(err)
	}
	return wrap(alertScript.Exec(ctx, c, []string{s.alerts + key}, nil).Error())
}

// Settle waits for the rest of the eight seconds after the server came back, or the store was opened.
func (s *Store) Settle(ctx context.Context) (waited bool, err error) {
	return s.health.settle(ctx)
}

// Watch calls f with what the server says about changes (client-side caching). If the connection
// was lost, any key may have changed; f is told so when it is back, within about a second.
//
// Without client-side caching, such as with the option DisableCache, there are no notices of
// changes, but there are those of a lost connection.
func (s *Store) Watch(ctx context.Context, f func(mtasts.Notice)) {
	s.watchers.add(&f)
	defer s.watchers.remove(&f)
	<-ctx.Done()
}

// invalidate is called with the keys that others have changed, nil for all.
func (s *Store) invalidate(keys []valkey.ValkeyMessage) {
	if keys == nil { // the connection was lost, or somebody has emptied the server
		s.health.down(nil)
		return
	}
	for i := range keys {
		key, err := keys[i].ToString()
		if err != nil {
			continue
		}
		if domain, ok := strings.CutPrefix(key, s.entries); ok && checkKey(domain) == nil {
			s.watchers.notify(mtasts.Notice{Key: domain})
		} else if domain, ok := strings.CutPrefix(key, s.alerts); ok && checkKey(domain) == nil {
			s.watchers.notify(mtasts.Notice{Key: domain, Alert: true})
		}
	}
}

// watchers are the functions of the calls of Watch.
type watchers struct {
	mu sync.Mutex
	fs map[*func(mtasts.Notice)]bool
}

func (w *watchers) add(f *func(mtasts.Notice)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fs == nil {
		w.fs = make(map[*func(mtasts.Notice)]bool)
	}
	w.fs[f] = true
}

func (w *watchers) remove(f *func(mtasts.Notice)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.fs, f)
}

func (w *watchers) notify(n mtasts.Notice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for f := range w.fs {
		(*f)(n)
	}
}
