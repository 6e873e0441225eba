package mtasts_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// kills is 200 when all is checked before a change lands.
var kills = flag.Int("crash.kills", 20, "how often TestKilledAtAnyMoment kills")

const (
	crashLanes = 4 // run at the same time, each with its own files
	crashers   = 8 // goroutines that store policies, in the process to be killed
)

// crashPolicy is what domain publishes under id: sometimes several pages long, and different
// in every line.
func crashPolicy(domain, id string) string {
	text := mtaststest.Policy(mtasts.ModeEnforce, week, "mx-"+id+"."+domain)
	if strings.HasSuffix(id, "7") {
		text += strings.Repeat("comment: "+id+"\r\n", 600)
	}
	return text
}

// tellingStore writes to standard output what has been stored.
type tellingStore struct{ *cache.Bolt }

func (s tellingStore) Write(ctx context.Context, changes []cache.Change) error {
	err := s.Bolt.Write(ctx, changes)
	for _, c := range changes {
		if err == nil {
			fmt.Printf("%s %d\n", c.Key, c.Fetched.UnixNano())
		}
	}
	return err
}

// storeUntilKilled stores new policies all the time, and their successors.
func storeUntilKilled(path string) {
	must := func(err error) {
		if err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
	}
	file, err := cache.OpenBolt(path)
	must(err)
	w := mtaststest.NewWorld()
	client := mtasts.New(tellingStore{file}, w.Options())
	for i := range crashers {
		go func() {
			for n := 0; ; n++ {
				domain := fmt.Sprintf("d%d.worker%d.example", n%6, i)
				id := fmt.Sprint(time.Now().UnixNano())
				w.Publish(domain, id, crashPolicy(domain, id))
				_, err := client.Recheck(context.Background(), domain)
				must(err)
			}
		}()
	}
	io.Copy(io.Discard, os.Stdin) // it ends with the parent
	os.Exit(1)
}

// A process that stores policies is killed at random moments, while it makes the file, opens
// it, and writes. Afterwards each policy that was reported as stored is there, or a later
// one, and each entry is whole.
func TestKilledAtAnyMoment(t *testing.T) {
	for lane := range crashLanes {
		t.Run(fmt.Sprint(lane), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var path string
			var stored map[string]int64 // when the last stored policy was fetched
			total := 0
			for n := range *kills / crashLanes {
				soon := n%10 == 0
				if soon {
					path, stored = filepath.Join(dir, fmt.Sprint(n)), make(map[string]int64)
				}
				total += crash(t, path, soon, stored)
				checkAfterCrash(t, path, stored)
				if t.Failed() {
					t.Fatalf("after %d kills", n+1)
				}
			}
			if total < *kills {
				t.Errorf("%d policies were stored: too few to mean something", total)
			}
		})
	}
}

// crash starts a process that writes to the store at path, and kills it soon after its start
// or during its writes. It adds what the process wrote, n lines, to stored.
func crash(t *testing.T, path string, soon bool, stored map[string]int64) (n int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), crashEnv+"="+path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { cmd.Process.Kill() }

	after := rand.IntN(50) // lines
	if soon || after < 10 {
		after = -1
		time.AfterFunc(rand.N(50*time.Millisecond), kill)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); n++ {
		var domain string
		var fetched int64
		if _, err := fmt.Sscan(lines.Text(), &domain, &fetched); err != nil {
			t.Errorf("the process says %q", lines.Text())
		}
		stored[domain] = max(stored[domain], fetched)
		if n == after {
			time.AfterFunc(rand.N(5*time.Millisecond), kill)
		}
	}
	cmd.Wait() // it was killed
	return n
}

// checkAfterCrash opens the store at path and reads everything in it.
func checkAfterCrash(t *testing.T, path string, stored map[string]int64) {
	t.Helper()
	file, err := cache.OpenBolt(path)
	if err != nil {
		t.Errorf("the store does not open: %v", err)
		return
	}
	client := mtasts.New(file, &mtasts.Options{Resolver: &resolver.Fake{}})
	defer client.Close()
	keys, _, err := file.Scan(t.Context(), "", 1000)
	if err != nil {
		t.Errorf("Scan: %v", err)
	}
	held := make(map[string]int64)
	for _, domain := range keys {
		p, err := client.PolicyFor(t.Context(), domain)
		if err != nil || p.Mode != mtasts.ModeEnforce || p.Text != crashPolicy(domain, p.ID) {
			t.Errorf("%s: %+v, %v; want one of its policies", domain, p, err)
			continue
		}
		held[domain] = p.Fetched.UnixNano()
	}
	for domain, fetched := range stored {
		if held[domain] < fetched {
			t.Errorf("%s: the policy fetched at %d was stored, and there is the one of %d", domain, fetched, held[domain])
		}
	}
}
