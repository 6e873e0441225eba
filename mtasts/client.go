package mtasts

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/internal/fetch"
	"github.com/mtasts/go-mtasts/internal/sts"
	"github.com/mtasts/go-mtasts/resolver"
)

const (
	// maxFetches bounds the sockets to policy hosts, besides those of Run. Each holds
	// its place for a minute at most; who finds none waits.
	maxFetches = 512
)

// A Client finds, caches and applies policies. It may be used concurrently. One is
// enough for a process; close it at the end.
type Client struct {
	resolver Resolver
	// lookupNetIP is the resolver's, nil if it has none.
	lookupNetIP func(ctx context.Context, network, host string) ([]netip.Addr, error)

	get           func(ctx context.Context, policyHost string) (text string, err error) // fetch.Client.Get
	roots         *x509.CertPool                                                        // for policy hosts; nil: the system's
	store         Store
	memory        *cache.LRU[*cacheEntry]
	start         time.Time
	checkInterval time.Duration
	quota         quota
	override      func(domain string) (Action, bool)
	report        func(Event)
	log           *slog.Logger

	fetches chan struct{} // a place for each request to a policy host, but for those of Run

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	lookups map[string]*lookup
	closed  bool

	running bool

	files         sharedFiles
	writer        *writer
	alarms        alarms
	stats         counters
	refresher     atomic.Pointer[refresher] // while Run runs
	noAuthorities atomic.Bool               // and it was reported
	readFailed    atomic.Pointer[string]    // the domain of which the store could not be read; nil: it can
}

// Open returns a Client that stores policies in a bbolt file at path. It makes the file, with
// mode 0600, if there is none; its directory must exist. Only one process at a time may
// have it open.
//
// A file that is damaged, that is of another format, that another process holds, or that
// cannot be read and written is an [*Error] within about a second, and left as it is.
func Open(path string, opts *Options) (*Client, error) {
	store, err := cache.OpenBolt(path)
	if err != nil {
		return nil, &Error{Reason: ReasonStoreUnreadable, Temporary: true, Err: err}
	}
	return New(store, opts), nil
}

// New returns a Client that stores policies in store. [Client.Close] closes store if
// it is an [io.Closer].
func New(store Store, opts *Options) *Client {
	if opts == nil {
		opts = &Options{}
	}
	c := &Client{
		resolver:      opts.Resolver,
		store:         store,
		checkInterval: opts.CheckInterval,
		override:      opts.Override,
		report:        opts.Report,
		log:           opts.Logger,
		start:         time.Now(),
		lookups:       make(map[string]*lookup),
		files:         newSharedFiles(),
	}
	if c.resolver == nil {
		c.resolver = resolver.System{}
	}
	if c.checkInterval == 0 {
		c.checkInterval = defaultCheckInterval
	}
	c.quota.client, c.quota.most = c, opts.Quota
	if opts.Quota <= 0 {
		c.quota.most = defaultQuota
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	memory := opts.MemoryEntries
	if memory <= 0 {
		memory = defaultMemoryEntries
	}
	c.memory = cache.NewLRU[*cacheEntry](memory)

	cfg := fetch.Config{
		Transport: opts.Transport,
		RootCAs:   opts.RootCAs,
		AllowNets: opts.AllowNets,
	}
	if r, ok := c.resolver.(interface {
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	}); ok {
		c.lookupNetIP = r.LookupNetIP
	}
	cfg.LookupNetIP = c.lookupNetIP
	c.get, c.roots = fetch.New(cfg).Get, cfg.RootCAs
	c.fetches = make(chan struct{}, maxFetches)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.alarms.client, c.alarms.failing = c, make(map[string]*failingPolicy)
	c.writer = newWriter(c)
	c.work.Go(func() { c.writer.run(c.ctx) })
	return c
}

// PolicyFor returns the policy for domain: a recipient's domain, or with a smart
// host the relay's, never the recipient's (RFC 8461, Section 3.4), which may be
// written as in an MTA's configuration, [relay.example]:587. Ask for each message.
//
// What is cached is answered at once, without I/O. Otherwise the answer comes from the
// store or, the first time, from the DNS and the policy host, which takes at most about 90
// seconds, or longer while 512 policy hosts are silent. If ctx ends first, the answer is the best there is: the cached policy, or else
// what the last look-up of the domain has found. The look-up goes on without this caller,
// and its outcome is cached. A domain without a usable policy has one of mode none, with
// a Cause.
//
// The error is an [*Error]. It means that the policy is not known, so that the message is
// to be deferred: ctx ended during the first look-up of the domain, the store could not
// be read, the client is closed, or 20,000 other domains are being looked up. Only
// [ErrInvalidDomain] is no reason to try again.
func (c *Client) PolicyFor(ctx context.Context, domain string) (*Policy, error) {
	// What is a key in memory has the form in which domains are compared: to find it is
	// to know that, which is cheaper than to look at each octet.
	if p := c.fresh(domain); p != nil {
		return c.overridden(p), nil
	}
	name, err := sts.PolicyDomain(domain)
	if err != nil {
		return notADomain(domain, err)
	}
	if name != domain {
		if p := c.fresh(name); p != nil {
			return c.overridden(p), nil
		}
	}
	// The name will be a key. As a part of a message it would keep all of that.
	p, err := c.find(ctx, strings.Clone(name))
	switch {
	case err != nil:
		c.stats.lookupsError.Add(1)
	case p.Cause != nil:
		c.stats.lookupsNone.Add(1)
	default:
		c.stats.lookupsPolicy.Add(1)
	}
	return c.overridden(p), err
}

// Recheck is [Client.PolicyFor] with a live check of the DNS, and of the policy file if the
// id is new or the cached file is older than five minutes. RFC 8461, Section 5 demands it
// before a message that a policy has held back fails for good. If the answer
// differs in Mode or Text from the policy that did, try the message again under it. An
// error says that the check could not be made, or that a new policy could not be had; keep
// the message in the queue.
func (c *Client) Recheck(ctx context.Context, domain string) (*Policy, error) {
	name, err := sts.PolicyDomain(domain)
	if err != nil {
		return notADomain(domain, err)
	}
	p, err := c.recheck(ctx, strings.Clone(name))
	return c.overridden(p), err
}

// notADomain is the answer for what sts.PolicyDomain refused.
func notADomain(domain string, err error) (*Policy, error) {
	if errors.Is(err, sts.ErrLiteral) {
		// RFC 8461, Section 3.4: no policy can belong to an address literal.
		return noPolicy(domain, &Error{Domain: domain, Reason: ReasonAddressLiteral, Err: err}), nil
	}
	return nil, &Error{Reason: ReasonInvalidDomain, Err: fmt.Errorf("%w: %w", ErrInvalidDomain, err)}
}

// NoPolicy is the answer for a domain whose policy the sender does not want: for a
// message with the header field "TLS-Required: No" (RFC 8689, Section 5), for reports
// about TLS (RFC 8460, Section 3), and where mail is forwarded inside one's own network.
// Its mode is none.
func NoPolicy(domain string) *Policy {
	if name, err := sts.PolicyDomain(domain); err == nil {
		domain = name
	}
	return noPolicy(domain, &Error{Domain: domain, Reason: ReasonNotAsked, Err: errNotAsked})
}

var errNotAsked = errors.New("the sender does not want the policy")

// Close ends all look-ups, stores what is not stored yet, and closes the store if it is an
// [io.Closer]. Callers that wait for an answer get an error that wraps [ErrClosed]; what
// memory holds is still answered. Close
// takes as long as the store needs to write, which is well below a second for a file; a
// store that hangs is left after half a minute. The error says how many policies could
// not be stored and why, or is the store's own. A second call returns nil at once.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()

	c.cancel()
	c.work.Wait()
	err := c.writer.close()
	if closer, ok := c.store.(io.Closer); ok {
		err = errors.Join(err, closer.Close())
	}
	if err != nil {
		return &Error{Reason: ReasonClosing, Err: fmt.Errorf("closing: %w", err)}
	}
	return nil
}

// since is the time by which cache entries and look-ups are measured. [time.Since] reads the monotonic clock
// alone, at half the cost of [time.Now].
func (c *Client) since() time.Duration { return time.Since(c.start) }
