package mtasts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// standard is the Client of the package-level PolicyFor.
var standard struct {
	mu     sync.Mutex
	client *Client
}

// PolicyFor is [Client.PolicyFor] on a Client with default [Options] and a file in the
// user's cache directory ([os.UserCacheDir]). The first call opens it; nothing closes it.
// A call takes at most about 90 seconds, or longer while 512 policy hosts do not answer.
// For a program that delivers mail, [Open] with a path of its own is better.
//
// Only one process at a time can have the file open. If PolicyFor cannot open it, it returns
// an error, and the next call tries again.
func PolicyFor(domain string) (*Policy, error) {
	c, err := standardClient()
	if err != nil {
		return nil, err
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
	if err == nil {
		dir = filepath.Join(dir, "go-mtasts")
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		err = fmt.Errorf("no directory for the policies: %w; use mtasts.Open", err)
		return nil, &Error{Reason: ReasonStoreUnreadable, Temporary: true, Err: err}
	}
	standard.client, err = Open(filepath.Join(dir, "policies.db"), nil)
	return standard.client, err
}
