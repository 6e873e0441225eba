package cache_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mtasts/go-mtasts/cache"
)

// Files that a crash at the first start leaves behind do no harm. A start without a crash
// leaves nothing but the store.
func TestOpenBoltAfterACrashAtTheFirstStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("go-mtasts-new-store-%d", i)), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := openBolt(t, path)
	if err := inHour(s, "example.com", "value"); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if names := directory(t, dir); len(names) != 4 {
		t.Errorf("in the directory: %q; want the store and what was there before", names)
	}
}

// If several processes make the store at once, one opens it, and the others return an error.
// No store replaces another.
func TestOpenBoltFirstStartOfManyProcesses(t *testing.T) {
	for round := range 4 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "store.db")
			var mu sync.Mutex
			var wg sync.WaitGroup
			held := 0
			for range 4 {
				wg.Go(func() {
					says, _ := tryElsewhere(t, path) // it ends with the test
					mu.Lock()
					defer mu.Unlock()
					switch {
					case says == "held":
						held++
					case !strings.Contains(says, "another process"):
						t.Errorf("a process says %q", says)
					}
				})
			}
			wg.Wait()
			if names := directory(t, dir); held != 1 || len(names) != 1 {
				t.Errorf("%d processes have the store, and in the directory is %q", held, names)
			}
		})
	}
}

// The same within a process, where several may open the store in turn.
func TestOpenBoltFirstStartOfManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	start := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	stored := map[string]string{}
	for i := range 8 {
		wg.Go(func() {
			<-start
			key := fmt.Sprintf("%d.example", i)
			s, err := cache.OpenBolt(path)
			if err != nil {
				if !strings.Contains(err.Error(), "another process") {
					t.Error(err)
				}
				return
			}
			if err := inHour(s, key, key); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			stored[key] = key
		})
	}
	close(start)
	wg.Wait()
	if len(stored) == 0 {
		t.Error("none of them has opened the store")
	}
	if r := (goodFile{values: stored}).check(t, openBolt(t, path)); r.errs > 0 || r.hides() {
		t.Errorf("%+v", r)
	}
	if names := directory(t, dir); len(names) != 1 {
		t.Errorf("in the directory: %q", names)
	}
}
