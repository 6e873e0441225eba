package main

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/testredis"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// What another relay has cached is enforced here, without DNS and with an empty file. Then the
// file serves without the server.
func TestRedis(t *testing.T) {
	address, kill := testredis.Start(t)
	world := mtaststest.NewWorld()
	world.Publish("enforce.example", "1", mtaststest.Policy(mtasts.ModeEnforce, 24*time.Hour, "mx.enforce.example"))
	cfg, err := parseFlags([]string{"-redis", address, "-db", filepath.Join(t.TempDir(), "other.db")}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	other, err := openPolicies(cfg.db, cfg.redis, world.Options(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := other.PolicyFor(t.Context(), "enforce.example"); err != nil || p.Mode != mtasts.ModeEnforce {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}

	db := filepath.Join(t.TempDir(), "policies.db")
	for _, state := range []string{"with the server", "without"} {
		socket := filepath.Join(t.TempDir(), "socket")
		p := startProgram(t, nil, "", "-listen", "unix:"+socket, "-db", db, "-redis", address)
		conn, r := dial(t, "unix", socket)
		if got := ask(t, conn, r, "mta-sts enforce.example"); got != "OK secure match=mx.enforce.example servername=hostname" {
			t.Errorf("%s: %s\n%s", state, got, &p.log)
		}
		conn.Close()
		p.end(t)
		kill()
	}
}
