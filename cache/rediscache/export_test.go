package rediscache

import (
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/valkey-io/valkey-go"
)

// OpenWithGrace is Open with another time for which an absent key proves nothing.
func OpenWithGrace(option valkey.ClientOption, opts *Options, grace time.Duration) (*Store, error) {
	return open(option, opts, grace)
}

// Copy is the Fallback.
func (s *Store) Copy() *cache.Bolt { return s.fallback.store }
