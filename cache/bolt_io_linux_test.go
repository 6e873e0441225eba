package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// withDisk has fn run while the file called name is in the place of file.
func withDisk(t *testing.T, file *os.File, name string, flag int, fn func()) {
	t.Helper()
	other, err := os.OpenFile(name, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	fd := int(file.Fd())
	disk, err := syscall.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(disk)
	if err := syscall.Dup3(int(other.Fd()), fd, syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	fn()
	if err := syscall.Dup3(disk, fd, syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

// A disk that cannot be read is an error of each call, and neither an empty store nor
// the end of it: when the disk is back, so is all that was in it.
func TestBoltDiskThatCannotBeRead(t *testing.T) {
	b := openInternal(t)
	ctx, now := context.Background(), time.Now()
	put := func(key string) error { return b.Put(ctx, key, make([]byte, 2000), now, now.Add(time.Hour)) }
	const n = 10 // on several pages
	for i := range n {
		if err := put(fmt.Sprintf("%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	flushNow(t, b)
	// A process's memory, opened as a file, has nothing at its beginning that could be
	// read: the system says what it says of a broken disk.
	withDisk(t, b.file, "/proc/self/mem", os.O_RDONLY, func() {
		_, ok, getErr := b.Get(ctx, "0.example")
		keys, _, scanErr := b.Scan(ctx, "", 10)
		for what, err := range map[string]error{"Get": getErr, "Scan": scanErr, "Put": put("new.example"), "Delete": b.Delete(ctx, "0.example", now)} {
			if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), b.path) {
				t.Errorf("%s: %v; want the system's error, and the path", what, err)
			}
		}
		if ok || len(keys) > 0 {
			t.Errorf("Get = %v, Scan = %q, without a disk", ok, keys)
		}
	})
	if err := put("new.example"); err != nil {
		t.Error(err)
	}
	if keys, _, err := b.Scan(ctx, "", 2*n); err != nil || len(keys) != n+1 {
		t.Errorf("Scan = %q, %v; want all", keys, err)
	}
}
