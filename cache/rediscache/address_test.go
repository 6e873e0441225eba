package rediscache_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/cache/rediscache"
)

func TestParseAddress(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "redis")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		address        string
		servers        []string
		user, password string
		tls            bool
		sentinel       string
	}{
		{address: "redis.example:6379", servers: []string{"redis.example:6379"}},
		{address: "192.0.2.1:1,[2001:db8::1]:2", servers: []string{"192.0.2.1:1", "[2001:db8::1]:2"}},
		{address: "redis://redis.example?master_set=fleet", servers: []string{"redis.example:6379"}, sentinel: "fleet"},
		{address: file("rediss://mtasts:secret@redis.example:7000\n"), servers: []string{"redis.example:7000"},
			user: "mtasts", password: "secret", tls: true},
	} {
		option, err := rediscache.ParseAddress(test.address)
		if err != nil || !slices.Equal(option.InitAddress, test.servers) || option.Username != test.user ||
			option.Password != test.password || (option.TLSConfig != nil) != test.tls || option.Sentinel.MasterSet != test.sentinel {
			t.Errorf("%s: %+v, %v", test.address, option, err)
		}
	}
	for _, address := range []string{"", "redis.example", "a:1,b", "http://redis.example", "/nonexistent", file(""),
		"redis://user:secret%@redis.example", "redis://user:secret/@redis.example", "redis://user:1/secret@redis.example", "redis://user:secret@redis.example/x", "redis://user:secret@redis.example:port"} {
		if _, err := rediscache.ParseAddress(address); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want an error without the password", address, err)
		}
	}
}
