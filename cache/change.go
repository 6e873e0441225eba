package cache

import (
	"fmt"
	"strings"
	"time"
)

// A Change is what a store is to do to one key: hold a value, or hold none.
type Change struct {
	Key string // 1 to 253 octets of lower-case letters, digits, '-', '_' and '.'

	// Value is what to hold, at most 70 KiB. Nil removes the key; []byte{} is a value.
	Value []byte

	// Fetched orders the changes of one key. A store that holds a value with a later
	// Fetched keeps it, unless it has expired.
	Fetched time.Time
	Expires time.Time // until when to hold Value; a removal needs none
}

// A value is a policy file of at most 64 KiB, with room for what is known about it.
const maxKey, maxValue = 253, 70 << 10

// checkKey reports what is wrong with a key, which must not pass for one that is not there.
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
