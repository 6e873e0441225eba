package cache

import (
	"path/filepath"
	"testing"
)

// Only a crash of the machine shows whether Write waits for the disk. So this test sees to it
// that bbolt is not told to skip that.
func TestBoltWaitsForTheDisk(t *testing.T) {
	b, err := OpenBolt(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.db.NoSync || b.db.NoGrowSync {
		t.Error("bbolt does not wait for the disk")
	}
}
