package mtasts_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// A damaged entry concerns only callers that ask for its domain. Run refreshes the entries
// that follow it.
func TestADamagedEntryKeepsNoOtherFromBeingRefreshed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policies.db")
	play(t, func(t *testing.T, e *env) {
		names := []string{"a.example", "b.example", "c.example"}
		open := func() {
			t.Helper()
			store, err := cache.OpenBolt(path)
			if err != nil {
				t.Fatal(err)
			}
			e.stop()
			e.store = store
			e.start()
		}
		open()
		for _, name := range names {
			e.Publish(name, "1", mtaststest.Policy(mtasts.ModeEnforce, 30*day, "mx."+name))
			e.policyFor(name)
		}
		e.stop()
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file = bytes.ReplaceAll(file, []byte("mx: mx.b.example"), []byte("mx: mx.x.example"))
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		e.start()
		open()
		stop := e.run()
		e.sleep(25 * time.Hour)
		for _, name := range []string{"a.example", "c.example"} {
			if n := e.Requests(name); n < 2 {
				t.Errorf("%s: %d requests in a day, want another one", name, n)
			}
		}
		if n := e.Requests("b.example"); n != 1 {
			t.Errorf("%d requests for the damaged one, about which nobody has asked", n)
		}
		if ev := e.events(mtasts.EventStore); len(ev) != 1 || ev[0].Err == nil {
			t.Errorf("%d events of the store: %+v; want one error", len(ev), ev)
		}
		stop()
	})
}
