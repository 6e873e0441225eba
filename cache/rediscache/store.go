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

	// Fallback is the path of a file of this relay alone, for the time when the server cannot
	// be reached. It holds a copy of all that this relay has read and written. While the
	// server is gone, the relay works with the copy and looks unknown domains up. Then what
	// the copy has is written to the server. The file may be one of [mtasts.Open], and the
	// reverse: a relay that joins a fleet brings its policies along, and one that leaves keeps
	// them. Empty: while the server is gone, mail for domains that are not in memory is
	// deferred.
	Fallback string

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
	fallback *fallback // nil if there is none
}

// connection is a pointer target for an interface.
type connection struct{ valkey.Client }

// errNotConnected is the error of all methods until the first connection.
var errNotConnected = errors.New("not connected to the server yet")

// Open returns a store on the server of option. It tries to connect, which takes two seconds at
// most unless option says otherwise. If that fails, it goes on trying in the background, and
// methods return errors. Open fails only if the options are invalid or the Fallback cannot be
// opened.
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
	fallback, err := openFallback(opts.Fallback)
	if err != nil {
		return nil, err
	}
	s := &Store{
		fallback: fallback,
		entries:  prefix + ":" + formatVersion + ":",
		leases:   prefix + ":lease:",
		alerts:   prefix + ":alert:",
		log:      cmp.Or(opts.Logger, slog.New(slog.DiscardHandler)),
	}
	s.health.grace = grace
	s.option = s.prepare(option)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tick()
	s.work.Go(s.run)
	if s.fallback != nil {
		s.work.Go(s.runCopy)
	}
	return s, nil
}

// Get returns the value under key. It fails if ctx has ended, if key is invalid, or if the server
// does not answer within three seconds and there is no Fallback. While a node of a Cluster is
// down, an absent key counts as no answer.
func (s *Store) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	if err := cmp.Or(ctx.Err(), checkKey(key)); err != nil {
		return nil, false, err
	}
	local, localErr := s.fallback.get(ctx, key)
	held, err := s.get(ctx, key)
	switch {
	case err == nil && localErr == nil:
		held = s.fallback.newer(key, held, local)
	case err == nil && held != nil: // the copy is not needed
	case err == nil || s.fallback != nil && ctx.Err() == nil && s.ctx.Err() == nil:
		held, err = local, localErr
	}
	if err != nil || held == nil {
		return nil, false, wrap(err)
	}
	return valueOf(held), true, nil
}

// get returns the entry of the server, or nil.
func (s *Store) get(ctx context.Context, key string) ([]byte, error) {
	c, err := s.connected()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	entry, err := entryIn(c.Do(ctx, s.readCommand(c, key)))
	if err == nil && entry == nil {
		// While a node of a Cluster is down, an absent key proves nothing.
		if err = s.health.reason(); err == nil {
			s.up()
		}
	}
	return entry, err
}

// Write makes all changes in order. Without a Cluster, it makes all or none. In a Cluster, each
// change is made or not by itself. An unexpired value with a later Fetched stays, and this is no
// error.
//
// Write fails if ctx has ended, if a [cache.Change] is invalid, or if the server cannot be
// reached and there is no Fallback. Then it is not known whether the changes were made. With a
// Fallback, it makes the changes there too, and also fails if it cannot. If the server is full, it
// does not: otherwise the copy would grow without bound.
func (s *Store) Write(ctx context.Context, changes []cache.Change) error {
	if err := cmp.Or(ctx.Err(), checkChanges(changes)); err != nil {
		return err
	}
	err := s.write(ctx, changes)
	refusal, reply := valkey.IsValkeyErr(err)
	if reply && strings.HasPrefix(refusal.Error(), "OOM ") {
		return wrap(err)
	}
	local, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerLimit) // a server that hangs has used up ctx
	defer cancel()
	localErr := s.fallback.write(local, changes)
	if err != nil && !reply && s.fallback != nil && s.ctx.Err() == nil {
		s.lost(err) // what the copy has now is restored when the server is back
		err = nil
	}
	return wrap(errors.Join(localErr, err))
}

func (s *Store) write(ctx context.Context, changes []cache.Change) error {
	c, err := s.connected()
	if err != nil {
		return err
	}
	now := time.Now()
	var keys, args []string
	for i := range changes {
		change := &changes[i]
		life := "0" // removes the key
		if change.Value != nil {
			life = lifeOf(change.Fetched, change.Expires, now)
		}
		keys = append(keys, s.entries+change.Key)
		args = append(args, valkey.BinaryString(newEntry(change)), life)
	}
	return s.runScript(ctx, c, string(appendTime(nil, now)), keys, args)
}

// Close ends the connection, and closes the Fallback. Later calls of
// other methods return an error that wraps [fs.ErrClosed]. Later calls of Close do nothing.
func (s *Store) Close() error {
	if s.ctx.Err() != nil {
		return nil
	}
	s.cancel()
	s.work.Wait()
	if c := s.client.Load(); c != nil {
		c.Close()
	}
	return s.fallback.close()
}

// connected returns the client, or why there is none.
func (s *Store) connected() (valkey.Client, error) {
	if s.ctx.Err() != nil {
		return nil, fs.ErrClosed
	}
	c := s.client.Load()
	if c == nil {
		return nil, cmp.Or(s.health.reason(), errNotConnected)
	}
	// Do not wait for a server that does not answer pings. In a Cluster it may be another one.
	if err := s.health.reason(); err != nil && c.Mode() != valkey.ClientModeCluster {
		return nil, err
	}
	return c, nil
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("rediscache: %w", err)
}
