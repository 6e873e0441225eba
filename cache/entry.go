package cache

import (
	"fmt"
	"strings"
)

// The bounds of a store's entries, in octets: a key is a domain name, a value
// a file of at most 64 KiB with some room for what is known about it.
const (
	maxKey   = 253
	maxValue = 70 << 10

	keyOctets = "abcdefghijklmnopqrstuvwxyz0123456789-_."
)

// checkKey reports what is wrong with a key, which is always the caller's
// mistake: one that is not seen here would surface as a policy that is not
// found.
func checkKey(key string) error {
	if len(key) < 1 || len(key) > maxKey {
		return fmt.Errorf("cache: a key of %d octets: 1 to %d are allowed", len(key), maxKey)
	}
	if strings.Trim(key, keyOctets) != "" {
		return fmt.Errorf("cache: the key %+q: only lower-case letters, digits, '-', '_' and '.' are allowed", key)
	}
	return nil
}

// checkValue reports what is wrong with a value.
func checkValue(value []byte) error {
	if len(value) > maxValue {
		return fmt.Errorf("cache: a value of %d octets: at most %d are allowed", len(value), maxValue)
	}
	return nil
}
