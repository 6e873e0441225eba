package cache_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/internal/leak"
)

// holdEnv makes this test binary another process. It puts an entry into the store at the path
// in the variable, and keeps the store open until its standard input ends.
const holdEnv = "CACHE_TEST_HOLD"

func TestMain(m *testing.M) {
	if path := os.Getenv(holdEnv); path != "" {
		s, err := cache.OpenBolt(path)
		if err == nil {
			err = inHour(s, fmt.Sprintf("%d.example", os.Getpid()), "held")
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		io.Copy(io.Discard, os.Stdin)
		s.Close()
		os.Exit(0)
	}
	leak.Main(m)
}

// holdElsewhere has another process open the store at path, and close it when release is
// called.
func holdElsewhere(t *testing.T, path string) (release func()) {
	t.Helper()
	says, end := tryElsewhere(t, path)
	if says != "held" {
		t.Fatalf("the other process says %q", says)
	}
	return func() {
		if err := end(); err != nil {
			t.Errorf("the other process: %v", err)
		}
	}
}

// tryElsewhere has another process open the store at path. It returns what that process
// prints, "held" or an error, and a function that ends it.
func tryElsewhere(t *testing.T, path string) (says string, end func() error) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), holdEnv+"="+path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceValue(func() error {
		stdin.Close()
		return cmd.Wait()
	})
	t.Cleanup(func() { end() })
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	return strings.TrimSuffix(line, "\n"), end
}

// sharedTempDir returns an empty directory that every user may enter, unlike t.TempDir.
func sharedTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cache-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
