package mtasts

import (
	"cmp"
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

// maxFetches bounds the requests to policy hosts for callers, and so their sockets. Each
// ends within a minute. Run has a bound of its own.
const maxFetches = 512

// A Client discovers, caches and applies policies. One is enough for a process. It may be used
// concurrently. Close it at the end.
type Client struct {
	resolver    Resolver
	lookupNetIP func(ctx context.Context, network, host string) ([]netip.Addr, error) // nil: the resolver has none

	get   func(ctx context.Context, policyHost string) (text string, err error)
	roots *x509.CertPool // for policy hosts; nil: the system's

	store         Store
	memory        *cache.LRU[*cacheEntry]
	checkInterval time.Duration
	quota         quota
	override      func(domain string) (Action, bool)
	report        func(Event)
	log           *slog.Logger

	fetches chan struct{}   // bounded by maxFetches
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	work    sync.WaitGroup
	start   time.Time // for since

	mu      sync.Mutex
	lookups map[string]*lookup // under way, by policy domain
	closed  bool
	running bool // Run has not returned

	files         sharedFiles
	writer        *writer
	sharing       *sharing // nil unless the store is shared
	alarms        alarms
	stats         counters
	refresher     atomic.Pointer[refresher] // nil unless Run runs
	noAuthorities atomic.Bool               // reported already
	readFailed    atomic.Pointer[string]    // the domain of the first failed read: see unreadable
}

// Open returns a Client that stores policies in a bbolt file. It creates the file with mode
// 0600 if there is none; the directory must exist. Only one process at a time can have the
// file open.
//
// Open returns an [*Error] if the file is damaged, has another format, is open in another
// process, or cannot be read and written. It leaves such a file unchanged. The error comes
// within about a second.
func Open(path string, opts *Options) (*Client, error) {
	store, err := cache.OpenBolt(path)
	if err != nil {
		return nil, &Error{Reason: ReasonStoreUnreadable, Temporary: true, Err: err}
	}
	return New(store, opts), nil
}

// New returns a Client that stores policies in store, which may be a [SharedStore].
// [Client.Close] closes the store if it is an [io.Closer].
func New(store Store, opts *Options) *Client {
	if opts == nil {
		opts = &Options{}
	}
	c := &Client{
		resolver:      opts.Resolver,
		store:         store,
		memory:        cache.NewLRU[*cacheEntry](cmp.Or(max(opts.MemoryEntries, 0), defaultMemoryEntries)),
		checkInterval: cmp.Or(opts.CheckInterval, defaultCheckInterval),
		override:      opts.Override,
		report:        opts.Report,
		log:           cmp.Or(opts.Logger, slog.New(slog.DiscardHandler)),
		fetches:       make(chan struct{}, maxFetches),
		start:         time.Now(),
		lookups:       make(map[string]*lookup),
		files:         newSharedFiles(),
	}
	if c.resolver == nil {
		c.resolver = resolver.System{}
	}
	if r, ok := c.resolver.(interface {
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	}); ok {
		c.lookupNetIP = r.LookupNetIP
	}
	c.get = fetch.New(fetch.Config{
		Transport:   opts.Transport,
		RootCAs:     opts.RootCAs,
		AllowNets:   opts.AllowNets,
		LookupNetIP: c.lookupNetIP,
	}).Get
	c.roots = opts.RootCAs
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.quota.client, c.quota.most = c, cmp.Or(max(opts.Quota, 0), defaultQuota)
	c.alarms.client, c.alarms.failing = c, make(map[string]*failingPolicy)
	c.writer = newWriter(c)
	c.work.Go(func() { c.writer.run(c.ctx) })
	c.share()
	return c
}

// PolicyFor returns the policy for a recipient's domain. Call it for each message. If the
// mail goes to a smart host, domain is the smart host's (RFC 8461, Section 3.4). domain may be
// written as MTAs write it, such as [relay.example]:587, in A-labels or U-labels. An address
// literal, such as [192.0.2.1], has no policy.
//
// A cached policy is returned at once, without I/O. Otherwise PolicyFor asks the store, and
// then the DNS and the policy host. That takes at most about 90 seconds, or longer while 512
// other policy hosts do not answer. If ctx ends first, the answer is the cached policy, or
// else the result of the last look-up of the domain. The look-up goes on, and its result is
// cached.
//
// If the domain has no usable policy, the answer is a Policy of mode none with a Cause. An
// error is an [*Error], and means that the policy is not known: ctx ended during the first
// look-up of the domain, the store could not be read, the client is closed, or 20,000 other
// domains are being looked up. Defer the message, unless the error is [ErrInvalidDomain].
func (c *Client) PolicyFor(ctx context.Context, domain string) (*Policy, error) {
	// Keys in memory are valid policy domains, so a hit needs no validation.
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
	p, err := c.find(ctx, strings.Clone(name)) // name may be a part of a whole message
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

// Recheck is [Client.PolicyFor], but always checks the DNS first. It also fetches the policy
// file if the id is new or the cached file is older than five minutes. Call it before a
// message that a policy has held back fails for good (RFC 8461, Section 5).
//
// If the Mode or Text of the policy has changed, try the message again under it. Otherwise
// let the message fail, and put Text, the MX host and the text of the error into the DSN.
//
// An error means that the check failed, or that a new policy could not be fetched. Keep the
// message, and call Recheck again at the next try. If the queue time has been over for a
// day, let the message fail, and say in the DSN that the policy could not be checked.
func (c *Client) Recheck(ctx context.Context, domain string) (*Policy, error) {
	name, err := sts.PolicyDomain(domain)
	if err != nil {
		return notADomain(domain, err)
	}
	p, err := c.recheck(ctx, strings.Clone(name))
	return c.overridden(p), err
}

// notADomain returns the answer for a domain that sts.PolicyDomain refused.
func notADomain(domain string, err error) (*Policy, error) {
	if errors.Is(err, sts.ErrLiteral) {
		// RFC 8461, Section 3.4: no policy can belong to an address literal.
		return noPolicy(domain, &Error{Domain: domain, Reason: ReasonAddressLiteral, Err: err}), nil
	}
	return nil, &Error{Reason: ReasonInvalidDomain, Err: fmt.Errorf("%w: %w", ErrInvalidDomain, err)}
}

// NoPolicy returns a policy of mode none without a look-up. It is for messages to which no
// policy applies: those with the header field "TLS-Required: No" (RFC 8689, Section 3),
// reports about TLS (RFC 8460, Section 3), and mail within one's own network.
func NoPolicy(domain string) *Policy {
	if name, err := sts.PolicyDomain(domain); err == nil {
		domain = name
	}
	return noPolicy(domain, &Error{Domain: domain, Reason: ReasonNotAsked, Err: errNotAsked})
}

var errNotAsked = errors.New("the sender did not ask for a policy")

// Close ends all look-ups, writes unsaved policies, and closes the store if it is an
// [io.Closer]. Callers that wait for a look-up get an error that wraps [ErrClosed].
// PolicyFor still answers from memory.
//
// Close takes as long as the store needs to write: well below a second for a file, half a
// minute at most if the store hangs. Its error says how many policies could not be stored,
// and why, or is the store's own. A second call returns nil at once.
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

// since returns the time since c was made. Unlike [time.Now], it reads only the monotonic
// clock.
func (c *Client) since() time.Duration { return time.Since(c.start) }
