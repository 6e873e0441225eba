package rediscache

import (
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

// arguments returns the keys and arguments of writeScript.
func (s *Store) arguments(changes []cache.Change, now time.Time) (keys, args []string) {
	args = append(args, string(appendTime(nil, now)))
	for i := range changes {
		c := &changes[i]
		entry := make([]byte, 0, headerSize+len(c.Value))
		entry = appendTime(appendTime(entry, c.Fetched), c.Expires)
		entry = append(entry, c.Value...)
		life := int64(0) // removes the key
		if c.Value != nil {
			kept := min(max(c.Expires.Sub(now), 0), maxLife) + keptAfter
			life = kept.Milliseconds()
		}
		keys = append(keys, s.entries+c.Key)
		args = append(args, valkey.BinaryString(entry), strconv.FormatInt(life, 10))
	}
	return keys, args
}

func valueOf(key string, entry []byte) ([]byte, error) {
	if len(entry) < headerSize {
		return nil, fmt.Errorf("the entry of %q has %d octets", key, len(entry))
	}
	return entry[headerSize:], nil
}

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
