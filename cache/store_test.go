package cache_test

import (
	"path/filepath"
	"testing"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

func TestMemoryIsAStore(t *testing.T) {
	mtaststest.TestStore(t, func(*testing.T) mtasts.Store { return new(cache.Memory) }, nil)
}

func TestBoltIsAStore(t *testing.T) {
	var path string
	reopen := func(t *testing.T) mtasts.Store {
		b, err := cache.OpenBolt(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	open := func(t *testing.T) mtasts.Store {
		path = filepath.Join(t.TempDir(), "store.db")
		return reopen(t)
	}
	mtaststest.TestStore(t, open, reopen)
}
