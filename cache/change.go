package cache

import (
	"fmt"
	"strings"
	"time"
)

// A Change sets the value of one key, or removes the key.
type Change struct {
	Key string // 1 to 253 octets of lower-case letters, digits, '-', '_' and '.'

	// Value has at most 70 KiB. Nil removes the key; []byte{} is a value.
	Value []byte

	// Fetched orders the changes of one key. A store keeps the value that it has if that
	// has a later Fetched and has not expired.
	Fetched time.Time
	Expires time.Time // when Value expires; a removal needs none
}

// A policy file has at most 64 KiB. The rest is room for what is stored with it.
const maxKey, maxValue = 253, 70 << 10

// checkKey returns what is wrong with a key. An invalid key is an error, not a miss.
func checkKey(key string) error {
	if len(key) < 1 || len(key) > maxKey {
		return fmt.Errorf("cache: a key of %d octets: 1 to %d are allowed", len(key), maxKey)
	}
	if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return fmt.Errorf("cache: the key %+q: only lower-case letters, digits, '-', '_' and '.' are allowed", key)
	}
	return nil
}

func checkChanges(changes []Change) error {
	for _, c := range changes {
		if err := checkKey(c.Key); err != nil {
			return err
		}
		if len(c.Value) > maxValue {
			return fmt.Errorf("cache: the value of %q has %d octets: at most %d are allowed", c.Key, len(c.Value), maxValue)
		}
	}
	return nil
}
