package mtaststest_test

import (
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

func TestSharedMemoryIsASharedStore(t *testing.T) {
	mtaststest.TestStore(t, func(*testing.T) mtasts.Store { return new(mtaststest.SharedMemory) }, nil)
	mtaststest.TestShared(t, func(*testing.T) (a, b mtasts.SharedStore) {
		m := new(mtaststest.SharedMemory)
		return m, m
	})
}
