package cache_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/cache"
)

// A log without its store is not taken for the beginning of a new one.
func TestBoltLogWithoutAStore(t *testing.T) {
	f, log := newLog(t, 4)
	for what, file := range map[string][]byte{"absent": nil, "empty": {}} {
		path := filepath.Join(t.TempDir(), "store.db")
		newInode(t, path+"-wal", log)
		if file != nil {
			newInode(t, path, file)
		}
		if _, err := cache.OpenBolt(path); err == nil || !strings.Contains(err.Error(), path+"-wal") {
			t.Errorf("the store is %s: %v; want an error that names the log", what, err)
		}
		wantUntouched(t, path+"-wal", log)
		if names := directory(t, filepath.Dir(path)); file == nil && len(names) != 1 {
			t.Errorf("in the directory: %q", names)
		}
		newInode(t, path, f.bytes)
		if errs := f.check(t, openBolt(t, path)); errs > 0 {
			t.Errorf("%d errors when the store is back", errs)
		}
	}
}

// The log is beside the store even if the process has gone elsewhere.
func TestBoltLogOfARelativePath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s := openBolt(t, "store.db")
	t.Chdir(t.TempDir())
	if err := inHour(s, "example.com", "value"); err != nil {
		t.Fatal(err)
	}
	if names := directory(t, dir); !slices.Equal(names, []string{"store.db", "store.db-wal"}) {
		t.Errorf("beside the store is %q", names)
	}
}

// A path means what the system takes it for: the directory above the one that a link leads to
// is not the one that the link is in.
func TestBoltLogOfAPathThroughALink(t *testing.T) {
	f, log := newLog(t, 4)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "real", "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("real", "below"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "real", "store.db")
	newInode(t, path, f.bytes)
	newInode(t, path+"-wal", log)
	if errs := f.check(t, openBolt(t, dir+"/link/../store.db")); errs > 0 {
		t.Errorf("%d errors", errs)
	}
}

// A store that was moved away while it is open has nothing to do with the log of the one
// that is in its place.
func TestBoltLogOfAnotherInItsPlace(t *testing.T) {
	for _, early := range []bool{false, true} { // has the first store a log before it is moved?
		dir := t.TempDir()
		path := filepath.Join(dir, "store.db")
		first := openBolt(t, path)
		if early {
			if err := inHour(first, "first.example", "value"); err != nil {
				t.Fatal(err)
			}
		}
		for _, suffix := range []string{"", "-wal"} {
			if err := os.Rename(path+suffix, path+".old"+suffix); err != nil && early {
				t.Fatal(err)
			}
		}
		if err := inHour(first, "moved.example", "value"); err != nil {
			t.Error(err)
		}
		if names := directory(t, dir); slices.Contains(names, "store.db-wal") {
			t.Errorf("in the directory: %q; want no log where no store is", names)
		}
		second := openBolt(t, path)
		for _, s := range []*cache.Bolt{second, first} {
			if err := inHour(s, "example.com", "value"); err != nil {
				t.Error(err)
			}
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		file, log := image(t, path)
		s, _, err := afterCrash(t, file, log)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := s.Get(t.Context(), "example.com"); !ok || err != nil {
			t.Errorf("after a crash of the second store: %v, %v", ok, err)
		}
		if _, ok, _ := openBolt(t, path+".old").Get(t.Context(), "example.com"); !ok {
			t.Error("the first store has lost what was stored when it was moved")
		}
	}
}

// The log is found again by whatever link the store is opened.
func TestBoltLogOfALink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "data", "store.db")
	openBolt(t, path).Close()
	for link, target := range map[string]string{"absolute": path, "relative": "data/store.db", "twice": "relative", "dangling": "data/new.db"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"absolute", "relative", "twice"} {
		s := openBolt(t, filepath.Join(dir, link))
		if err := inHour(s, "example.com", link); err != nil {
			t.Error(err)
		}
		if names := directory(t, filepath.Dir(path)); !slices.Equal(names, []string{"store.db", "store.db-wal"}) {
			t.Errorf("%s: beside the store is %q", link, names)
		}
		s.Close()
	}
	s := openBolt(t, filepath.Join(dir, "dangling"))
	if err := inHour(s, "example.com", "value"); err != nil {
		t.Error(err)
	}
	if names := directory(t, filepath.Dir(path)); !slices.Equal(names, []string{"new.db", "new.db-wal", "store.db"}) {
		t.Errorf("of a new store: beside it is %q", names)
	}
}

// Where there can be no log, everything works without one.
func TestBoltWithoutALog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	if err := os.Mkdir(path+"-wal", 0o700); err != nil {
		t.Fatal(err)
	}
	want := goodFile{values: map[string]string{}}
	for i := range 20 {
		key := fmt.Sprintf("%d.example", i)
		want.values[key] = "value of " + key
		if err := inHour(s, key, want.values[key]); err != nil {
			t.Fatal(err)
		}
	}
	if errs := want.check(t, s); errs > 0 {
		t.Errorf("%d errors", errs)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	// Something else in its place is not taken for a log, and not removed.
	if _, err := cache.OpenBolt(path); err == nil || !strings.Contains(err.Error(), path+"-wal") {
		t.Errorf("a directory in the place of the log: %v", err)
	}
	os.Remove(path + "-wal")
	if errs := want.check(t, openBolt(t, path)); errs > 0 {
		t.Errorf("%d errors", errs)
	}
}
