package cache_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/mtasts/go-mtasts/cache"
)

// fullEnv makes this test binary a process with a full disk. The variable has the largest size
// of a file, and the path of the store to fill.
const fullEnv = "CACHE_TEST_FULL"

func init() {
	if arg := os.Getenv(fullEnv); arg != "" {
		var limit uint64
		var path string
		if _, err := fmt.Sscan(arg, &limit, &path); err != nil {
			panic(err)
		}
		fillUntilFull(limit, path)
		os.Exit(0)
	}
}

// limitFileSize makes writes behind the first limit octets of a file fail. It needs no
// privileges, and can raise the limit again.
func limitFileSize(limit uint64) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		panic(err)
	}
	l.Cur = min(limit, l.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		panic(err)
	}
}

const noLimit = 1<<64 - 1

// bigValue returns the value to store under key. Some values take several pages.
func bigValue(key string) string {
	return strings.Repeat("value of "+key+"\n", 10+len(key)%3*300)
}

// fillUntilFull writes until nothing more can be written, and then once more with room. It
// prints a line for each event: a word, and a key or an error.
func fillUntilFull(limit uint64, path string) {
	limitFileSize(limit)
	steps := 100
	s, err := cache.OpenBolt(path)
	if err != nil {
		fmt.Printf("refused %q\n", err)
		limitFileSize(noLimit)
		steps = 3
		if s, err = cache.OpenBolt(path); err != nil {
			fmt.Printf("broken %q\n", err)
			return
		}
	}
	ctx := context.Background()
	var mu sync.Mutex
	var stored, failed []string
	put := func(key string) {
		err := inHour(s, key, bigValue(key))
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = append(failed, key)
			fmt.Printf("failed %q\n", err)
			return
		}
		stored = append(stored, key)
		fmt.Printf("stored %s\n", key)
	}
	// Some alone, and some at once.
	for i := 0; i < steps && len(failed) < 30; i++ {
		var wg sync.WaitGroup
		for lane := range 1 + i%3*4 {
			wg.Go(func() { put(fmt.Sprintf("%s%d.lane%d.example", strings.Repeat("x", i%3), i, lane)) })
		}
		wg.Wait()
	}
	check := func(when string) {
		for _, key := range stored {
			if value, ok, err := s.Get(ctx, key); err != nil || !ok || string(value) != bigValue(key) {
				fmt.Printf("broken %q\n", fmt.Sprint(when, ": ", key, ": ", ok, err))
			}
		}
	}
	check("without room")
	limitFileSize(noLimit)
	again := failed
	failed = nil
	for _, key := range again {
		put(key)
	}
	if len(failed) > 0 {
		fmt.Printf("broken %q\n", "writing fails though there is room again")
	}
	check("with room again")
	if err := s.Close(); err != nil {
		fmt.Printf("broken %q\n", err)
	}
}

// A full disk, at the first start or later, is an error that says so. What Write reported as
// stored is there. When there is room again, writes work.
func TestBoltDiskFull(t *testing.T) {
	page := os.Getpagesize()
	limits := []int{0, 1, page - 1, 3*page + 100, 50_000, 1_200_000, 2_300_000}
	for i := range 9 {
		limits = append(limits, (1+i)*page)
	}
	for _, limit := range limits {
		for _, first := range []string{"absent", "empty", "small"} {
			t.Run(fmt.Sprintf("%d, %s", limit, first), func(t *testing.T) {
				t.Parallel()
				testDiskFull(t, limit, first)
			})
		}
	}
}

func testDiskFull(t *testing.T, limit int, first string) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	want := map[string]string{}
	switch first {
	case "empty":
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	case "small":
		s := openBolt(t, path)
		want["first.example"] = "first"
		if err := inHour(s, "first.example", "first"); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", fullEnv, limit, path))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the process: %v; it says:\n%s", err, out)
	}
	refused, failed := 0, 0
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "stored":
			want[rest] = bigValue(rest)
			continue
		case "refused":
			refused++
		case "failed":
			failed++
		default:
			t.Errorf("the process says %s", lines.Text())
		}
		if !strings.Contains(rest, path) || !strings.Contains(rest, "cannot be written") || !strings.Contains(rest, "file too large") {
			t.Errorf("the error does not say what is wrong, and where: %s", rest)
		}
	}
	if refused+failed == 0 {
		t.Errorf("no error, and %d entries", len(want))
	}
	switch page := os.Getpagesize(); {
	case first == "small" && refused > 0:
		t.Error("a full disk keeps a store that is there from being opened")
	case first != "small" && limit < 4*page && refused == 0:
		t.Error("a new store of less than four pages")
	}
	s := openBolt(t, path)
	if r := (goodFile{values: want}).check(t, s); r.errs > 0 || r.hides() {
		t.Errorf("%+v afterwards", r)
	}
	s.Close()
	checkFile(t, path)
	if names := directory(t, dir); len(names) != 1 {
		t.Errorf("in the directory: %q", names)
	}
}

// Pipes and devices are not opened: to open a pipe would wait for its other end.
func TestOpenBoltOfPipesAndDevices(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/full", "/dev/zero"} {
		wantOpenError(t, path, "not a regular file")
	}
}

// If path is a symbolic link to an absent file, the store is made where the link leads.
func TestOpenBoltOfALinkToNothing(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "link.db"), filepath.Join(dir, "target.db")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	s := openBolt(t, path)
	if err := inHour(s, "example.com", "value"); err != nil {
		t.Error(err)
	}
	s.Close()
	if _, ok, err := openBolt(t, target).Get(t.Context(), "example.com"); !ok || err != nil {
		t.Errorf("Get = %v, %v", ok, err)
	}
	if names := directory(t, dir); len(names) != 2 {
		t.Errorf("in the directory: %q", names)
	}
	nowhere := filepath.Join(dir, "nowhere.db")
	if err := os.Symlink(filepath.Join(dir, "missing", "store.db"), nowhere); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, nowhere, "no such file or directory")
}
