package rediscache

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/valkey-io/valkey-go"
)

const (
	// pingInterval is the time between two pings of each server.
	pingInterval = time.Second

	// pingLimit is how long a server may take to answer one.
	pingLimit = 3 * time.Second

	// answerLimit is how long a server may take to answer a Get or Lease.
	answerLimit = 3 * time.Second

	// grace is how long other relays need, after the server is back, to notice that and to write
	// back what the server has lost. A node of a Cluster refuses all commands for the first two
	// seconds.
	grace = 8 * time.Second
)

// prepare returns the options of the client.
func (s *Store) prepare(option valkey.ClientOption) valkey.ClientOption {
	if option.Dialer.Timeout == 0 {
		option.Dialer.Timeout = 2 * time.Second
	}
	if option.Sentinel.Dialer.Timeout == 0 {
		option.Sentinel.Dialer.Timeout = 2 * time.Second
	}
	if option.ConnWriteTimeout == 0 {
		option.ConnWriteTimeout = 5 * time.Second
	}
	if option.RetryDelay == nil {
		option.RetryDelay = retryDelay
	}
	// One connection to each server has all commands and notices, so NOLOOP leaves out the
	// notices of this store's own changes.
	option.PipelineMultiplex = -1
	option.ClientTrackingOptions = []string{"BCAST", "NOLOOP", "PREFIX", s.entries, "PREFIX", s.alerts}
	option.OnInvalidations = s.invalidate
	return option
}

// retryDelay returns the time until a failed read is tried again. valkey-go would go on until
// the context ends. After a second the server counts as gone.
func retryDelay(attempts int, _ valkey.Completed, _ error) time.Duration {
	if attempts > 10 {
		return -1
	}
	return time.Millisecond << (attempts - 1)
}

// run connects, and then pings, until the store is closed.
func (s *Store) run() {
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.tick()
		case <-s.ctx.Done():
			return
		}
	}
}

// tick connects if there is no connection yet, and pings otherwise.
func (s *Store) tick() {
	c := s.client.Load()
	if c == nil {
		client, err := valkey.NewClient(s.option)
		if err != nil {
			s.lost(err)
			return
		}
		c = &connection{client}
		s.client.Store(c)
	}
	if err := s.ping(c); err != nil {
		s.lost(err)
		return
	}
	s.up()
	s.greet(c)
}

// ping returns the error of a server that does not answer, or nil.
func (s *Store) ping(c valkey.Client) error {
	ctx, cancel := context.WithTimeout(s.ctx, pingLimit)
	defer cancel()
	nodes := c.Nodes()
	failures := make(chan error, len(nodes))
	for _, node := range nodes {
		go func() { failures <- node.Do(ctx, node.B().Ping().Build()).Error() }()
	}
	var failure error
	for range nodes {
		failure = cmp.Or(failure, <-failures)
	}
	return failure
}

// lost notes that a server cannot be reached, or has lost its entries.
func (s *Store) lost(err error) {
	if s.health.down(err) && s.ctx.Err() == nil {
		s.log.Error("rediscache: a server cannot be reached", "error", err)
	}
}

// up notes that a server has answered. If it was lost before, any key may have changed.
func (s *Store) up() {
	if s.health.up() {
		s.watchers.notify(mtasts.Notice{})
	}
}

// greet does what there is to do when all servers answer again.
func (s *Store) greet(c valkey.Client) {
	if !s.health.takeReturned() {
		return
	}
	s.log.Info("rediscache: all servers answer")
	s.fallback.returned()
	eviction := ""
	for _, info := range s.info(c) {
		if policy := info["maxmemory_policy"]; policy != "noeviction" && info["maxmemory"] != "0" {
			eviction = policy
		}
	}
	s.health.setEviction(eviction)
	if eviction != "" {
		s.log.Warn("rediscache: the server may evict policies before they expire; set maxmemory-policy noeviction", "maxmemory-policy", eviction)
	}
}

// info returns the reply of each server to INFO. It is empty for one whose ACL does not allow it.
func (s *Store) info(c valkey.Client) (infos []map[string]string) {
	ctx, cancel := context.WithTimeout(s.ctx, pingLimit)
	defer cancel()
	for _, node := range c.Nodes() {
		text, _ := node.Do(ctx, node.B().Info().Build()).ToString()
		info := make(map[string]string)
		for line := range strings.Lines(text) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				info[key] = value
			}
		}
		infos = append(infos, info)
	}
	return infos
}
