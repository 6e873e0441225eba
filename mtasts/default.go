package mtasts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/mtasts/go-mtasts/cache"
)

// standard is the Client behind the package-level PolicyFor.
var standard struct {
	mu     sync.Mutex
	client *Client
}

// PolicyFor is [Client.PolicyFor] on a Client that the package opens on first use
// and never closes, with default [Options] and a file in the user's cache directory
// ([os.UserCacheDir]). It takes at most about 90 seconds, or longer while 512 policy hosts are
// silent. A program that delivers
// mail is better served by [Open], with a path of its own.
//
// Only one process at a time can have the file open. If it cannot be opened, the
// error says so, and the next call tries again.
func PolicyFor(domain string) (*Policy, error) {
	c, err := standardClient()
	if err != nil {
		return nil, &Error{Reason: ReasonStoreUnreadable, Temporary: true, Err: err}
	}
	return c.PolicyFor(context.Background(), domain)
}

func standardClient() (*Client, error) {
	standard.mu.Lock()
	defer standard.mu.Unlock()
	if standard.client != nil {
		return standard.client, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("no directory for the policies: %w; use mtasts.Open", err)
	}
	dir = filepath.Join(dir, "go-mtasts")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("no directory for the policies: %w; use mtasts.Open", err)
	}
	store, err := cache.OpenBolt(filepath.Join(dir, "policies.db"))
	if err != nil {
		return nil, err
	}
	standard.client = New(store, nil)
	return standard.client, nil
}
