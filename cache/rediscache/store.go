package rediscache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/valkey-io/valkey-go"
)

// Options configure a [Store]. Nil and the zero value are the usual choice.
type Options struct {
	// Prefix begins all keys on the server: letters, digits, '-', '_' and '.'. Fleets that
	// share a server need different ones. Empty: "mtasts".
	Prefix string

	// Logger logs what an operator can do something about. Nil: no log.
	Logger *slog.Logger
}

// Store is a store on a Redis or Valkey server. [Open] opens it. It must be closed. All methods
// may be called concurrently.
type Store struct {
	option valkey.ClientOption
	log    *slog.Logger

	entries, leases, alerts string // prefixes of keys

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup
	client atomic.Pointer[connection] // nil until the first connection

	health   health
	runs     runs
	watchers watchers
}

// connection is a pointer target for an interface.
type connection struct{ valkey.Client }

// errNotConnected is the error of all methods until the first connection.
var errNotConnected = errors.New("not connected to the server yet")

// Open returns a store on the server of option. It tries to connect, which takes two seconds at
// most unless option says otherwise. If that fails, it goes on trying in the background, and
// methods return errors. Open fails only if the options are invalid.
//
// Where option has no value, the store sets shorter timeouts than valkey-go: 2 seconds to
// connect, 5 for a server that does not answer, and about one to try a read again. It sets
// ClientTrackingOptions, OnInvalidations and PipelineMultiplex in any case. With DisableCache
// there are no notices: see [Store.Watch].
func Open(option valkey.ClientOption, opts *Options) (*Store, error) {
	return open(option, opts, grace)
}

func open(option valkey.ClientOption, opts *Options, grace time.Duration) (*Store, error) {
	if opts == nil {
		opts = &Options{}
	}
	prefix := cmp.Or(opts.Prefix, "mtasts")
	if strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		// A hash tag would put all keys into one slot of a Cluster, and SCAN takes a pattern.
		return nil, fmt.Errorf("rediscache: the prefix %+q: only letters, digits, '-', '_' and '.' are allowed", prefix)
	}
	s := &Store{
		entries: prefix + ":" + formatVersion + ":",
		leases:  prefix + ":lease:",
		alerts:  prefix + ":alert:",
		log:     cmp.Or(opts.Logger, slog.New(slog.DiscardHandler)),
	}
	s.health.grace = grace
	s.option = s.prepare(option)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tick()
	s.work.Go(s.run)
	return s, nil
}

// Get returns the value under key. It fails if ctx has ended, if key is invalid, or if the server
// cannot be reached.
//
// For five seconds after the server came back, or was started, an absent key may be one that the
// server has lost. Get then waits for the rest of that time before it says that there is none.
// Other relays use it to write back what they have in memory.
func (s *Store) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	if err := cmp.Or(ctx.Err(), checkKey(key)); err != nil {
		return nil, false, err
	}
	value, ok, err = s.get(ctx, key)
	if err == nil && !ok {
		var waited bool
		if waited, err = s.health.settle(ctx); waited {
			value, ok, err = s.get(ctx, key)
		}
	}
	return value, ok, wrap(err)
}

func (s *Store) get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	c, err := s.connected()
	if err != nil {
		return nil, false, err
	}
	raw, err := c.Do(ctx, c.B().Get().Key(s.entries+key).Build()).AsBytes()
	if valkey.IsValkeyNil(err) {
		s.health.up()
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	value, err = valueOf(key, raw)
	return value, err == nil, err
}

// Write makes all changes in order. Without a Cluster, it makes all or none. In a Cluster, each
// change is made or not by itself. An unexpired value with a later Fetched stays, and this is no
// error.
//
// Write fails if ctx has ended, if a [cache.Change] is invalid, or if the server cannot be
// reached. Then it is not known whether the changes were made.
func (s *Store) Write(ctx context.Context, changes []cache.Change) error {
	if err := cmp.Or(ctx.Err(), checkChanges(changes)); err != nil || len(changes) == 0 {
		return err
	}
	c, err := s.connected()
	if err != nil {
		return wrap(err)
	}
	now := time.Now()
	if c.Mode() != valkey.ClientModeCluster {
		keys, args := s.arguments(changes, now)
		return wrap(writeScript.Exec(ctx, c, keys, args).Error())
	}
	var calls []valkey.LuaExec
	for i := range changes {
		keys, args := s.arguments(changes[i:i+1], now)
		calls = append(calls, valkey.LuaExec{Keys: keys, Args: args})
	}
	for _, result := range writeScript.ExecMulti(ctx, c, calls...) {
		err = cmp.Or(err, result.Error())
	}
	return wrap(err)
}

// Close ends the connection. Later calls of other methods return an error that wraps
// [fs.ErrClosed]. Later calls of Close do nothing.
func (s *Store) Close() error {
	s.cancel()
	s.work.Wait()
	if c := s.client.Load(); c != nil {
		c.Close()
	}
	return nil
}

// connected returns the client, or why there is none.
func (s *Store) connected() (valkey.Client, error) {
	if s.ctx.Err() != nil {
		return nil, fs.ErrClosed
	}
	if c := s.client.Load(); c != nil {
		return c, nil
	}
	return nil, cmp.Or(s.health.reason(), errNotConnected)
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("rediscache: %w", err)
}
