package rediscache

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/valkey-io/valkey-go"
)

// An entry on the server is:
//
//	8 octets  fetched
//	8 octets  expires
//	the rest  the value
//
// Times are nanoseconds since 1970 plus 2^63, big-endian, so that octets compare like times.
// The value has a checksum of its own.
const (
	formatVersion = "1"
	headerSize    = 8 + 8
)

// A policy file has at most 64 KiB. The rest is room for what is stored with it.
const maxKey, maxValue = 253, 70 << 10

const (
	// The server keeps an entry for keptAfter after the end of the policy. Relays then see that
	// a policy was ended by its publisher, and not lost.
	keptAfter = 24 * time.Hour

	// maxLife bounds the life of an entry on the server. No policy lives longer than a year.
	maxLife = 10 * 365 * 24 * time.Hour
)

// writeScript makes changes on the server.
//
//go:embed write.lua
var writeText string

var writeScript = valkey.NewLuaScript(writeText)

// newEntry returns the entry that c sets.
func newEntry(c *cache.Change) []byte {
	entry := make([]byte, 0, headerSize+len(c.Value))
	entry = appendTime(appendTime(entry, c.Fetched), c.Expires)
	return append(entry, c.Value...)
}

// lifeOf returns for how many milliseconds the server is to keep an entry. That is never less than
// the policy's max_age, because the clock of this relay may be ahead.
func lifeOf(fetched, expires, now time.Time) string {
	kept := min(max(expires.Sub(now), expires.Sub(fetched), 0), maxLife) + keptAfter
	return strconv.FormatInt(kept.Milliseconds(), 10)
}

// runScript runs writeScript for keys. args are those of all keys, two for each, after first.
func (s *Store) runScript(ctx context.Context, c valkey.Client, first string, keys, args []string) error {
	if len(keys) == 0 {
		return nil
	}
	if c.Mode() != valkey.ClientModeCluster {
		return writeScript.Exec(ctx, c, keys, append([]string{first}, args...)).Error()
	}
	var calls []valkey.LuaExec // the keys are in many slots
	for i := range keys {
		calls = append(calls, valkey.LuaExec{Keys: keys[i : i+1], Args: []string{first, args[2*i], args[2*i+1]}})
	}
	var err error
	for _, result := range writeScript.ExecMulti(ctx, c, calls...) {
		err = cmp.Or(err, result.Error())
	}
	return err
}

// restore puts entries of the fallback on the server, unless it has later ones, expired or not.
func (s *Store) restore(ctx context.Context, entries map[string][]byte) error {
	c, err := s.connected()
	if err != nil {
		return err
	}
	var keys, args []string
	for key, entry := range entries {
		keys = append(keys, s.entries+key)
		args = append(args, valkey.BinaryString(entry), lifeOf(timeIn(entry), timeIn(entry[8:]), time.Now()))
	}
	return s.runScript(ctx, c, "", keys, args)
}

// readCommand reads the entry of a key. It is not GET: somebody else may have put 512 MB there.
func (s *Store) readCommand(c valkey.Client, key string) valkey.Completed {
	return c.B().Getrange().Key(s.entries + key).Start(0).End(headerSize + maxValue).Build()
}

// entryIn returns the entry in the reply to readCommand, or nil if there is none. If the key holds
// something else, such as a list, that is an entry without a value.
func entryIn(reply valkey.ValkeyResult) ([]byte, error) {
	entry, err := reply.AsBytes()
	failure, ok := valkey.IsValkeyErr(err)
	switch {
	case ok && strings.HasPrefix(failure.Error(), "WRONGTYPE "):
		return make([]byte, headerSize), nil
	case err != nil || len(entry) == 0:
		return nil, err
	case len(entry) < headerSize:
		return make([]byte, headerSize), nil
	}
	return entry, nil
}

// valueOf returns the value of an entry. If the entry is damaged, the client will see that.
func valueOf(entry []byte) []byte { return entry[min(headerSize, len(entry)):] }

// appendTime appends t, or the nearest time from 1677 to 2262.
func appendTime(b []byte, t time.Time) []byte {
	nanos := t.UnixNano()
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		nanos = math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		nanos = math.MaxInt64
	}
	return binary.BigEndian.AppendUint64(b, uint64(nanos)+1<<63)
}

// checkKey returns what is wrong with a key.
func checkKey(key string) error {
	if len(key) < 1 || len(key) > maxKey {
		return fmt.Errorf("rediscache: a key of %d octets: 1 to %d are allowed", len(key), maxKey)
	}
	if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return fmt.Errorf("rediscache: the key %+q: only lower-case letters, digits, '-', '_' and '.' are allowed", key)
	}
	return nil
}

func checkChanges(changes []cache.Change) error {
	for i := range changes {
		if err := checkKey(changes[i].Key); err != nil {
			return err
		}
		if n := len(changes[i].Value); n > maxValue {
			return fmt.Errorf("rediscache: the value of %q has %d octets: at most %d are allowed", changes[i].Key, n, maxValue)
		}
	}
	return nil
}
