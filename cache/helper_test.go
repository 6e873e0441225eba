package cache_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	bolt "go.etcd.io/bbolt"
)

// store has the methods that both stores have.
type store interface {
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)
	Write(ctx context.Context, changes []cache.Change) error
	Scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error)
}

// inHour writes an entry that expires in an hour.
func inHour(s store, key, value string) error {
	now := time.Now()
	return s.Write(context.Background(), []cache.Change{{Key: key, Value: []byte(value), Fetched: now, Expires: now.Add(time.Hour)}})
}

// remove removes key, whenever its value was fetched.
func remove(s store, key string) error {
	return s.Write(context.Background(), []cache.Change{{Key: key, Fetched: time.Now().Add(time.Hour)}})
}

func openBolt(tb testing.TB, path string) *cache.Bolt {
	tb.Helper()
	s, err := cache.OpenBolt(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// checkFile has bbolt check the file at path.
func checkFile(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt finds: %v", err)
		}
		return nil
	})
}

// directory returns the names of what is in dir.
func directory(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
