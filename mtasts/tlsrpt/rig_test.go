package tlsrpt_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/smtp"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
	"github.com/mtasts/go-mtasts/resolver"
)

const oneDay = 24 * time.Hour

// rig is a World with a sender that reports, and the receivers of its reports.
type rig struct {
	*mtaststest.World
	t         *testing.T
	client    *mtasts.Client
	store     mtasts.Store
	opts      tlsrpt.Options
	collector *tlsrpt.Collector
	cancel    context.CancelFunc
	run       chan error

	mu       sync.Mutex
	received []delivery
	answer   map[string]func(context.Context) error // by destination; nil: taken
	tries    map[string]int
}

// A delivery is a report that a destination has taken.
type delivery struct {
	to     string
	at     time.Time
	report readReport
}

// play runs a test at midnight UTC in a bubble.
func play(t *testing.T, test func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{World: mtaststest.NewWorld(), t: t, store: &cache.Memory{}, opts: options(),
			answer: make(map[string]func(context.Context) error), tries: make(map[string]int)}
		r.opts.Resolver = r.DNS
		r.opts.SendMail = func(ctx context.Context, from, to string, message []byte) error {
			return r.take(ctx, to, func() readReport {
				_, report := readMail(t, message)
				return report
			})
		}
		r.start()
		opts := r.World.Options()
		opts.Report = func(e mtasts.Event) { r.collector.Report(e) }
		r.client = mtasts.New(&cache.Memory{}, opts)
		test(t, r)
		if err := r.client.Close(); err != nil {
			t.Error(err)
		}
		if err := r.collector.Close(); err != nil {
			t.Error(err)
		}
		r.stop()
	})
}

func (r *rig) start() {
	r.t.Helper()
	c, err := tlsrpt.New(r.store, r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	c.SetTransport(transport{r})
	ctx, cancel := context.WithCancel(r.t.Context())
	r.collector, r.cancel, r.run = c, cancel, make(chan error, 1)
	go func(run chan error) {
		run <- c.Run(ctx)
		close(run)
	}(r.run)
}

func (r *rig) stop() {
	r.cancel()
	<-r.run
}

// restart is an orderly one.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	if err := r.collector.Close(); err != nil {
		r.t.Error(err)
	}
	r.start()
}

// take is what a destination does.
func (r *rig) take(ctx context.Context, to string, read func() readReport) error {
	r.mu.Lock()
	r.tries[to]++
	answer := r.answer[to]
	r.mu.Unlock()
	if answer != nil {
		if err := answer(ctx); err != nil {
			return err
		}
	}
	d := delivery{to, time.Now(), read()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.received = append(r.received, d)
	return nil
}

func (r *rig) answers(to string, answer func(context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer[to] = answer
}

func (r *rig) reports() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.received)
}

func (r *rig) triesOf(to string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tries[to]
}

// transport is the network behind https: destinations.
type transport struct{ r *rig }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	status := http.StatusOK
	if media := req.Header.Get("Content-Type"); media != tlsrpt.MediaTypeGzip || req.Method != http.MethodPost {
		t.r.t.Errorf("%s with %s", req.Method, media)
	}
	body := readAll(t.r.t, req.Body)
	err := t.r.take(req.Context(), req.URL.String(), func() readReport { return read(t.r.t, gunzip(t.r.t, body)) })
	if refused, ok := errors.AsType[httpStatus](err); ok {
		status, err = int(refused), nil
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Request: req}, nil
}

type httpStatus int

func (s httpStatus) Error() string { return http.StatusText(int(s)) }

// The ways in which a destination does not take a report.
func silent(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
func dead(context.Context) error       { return errors.New("connection refused") }
func never(context.Context) error      { return fmt.Errorf("%w: 550 5.1.1 no such user", tlsrpt.ErrRefused) }
func notNow(context.Context) error     { return errors.New("451 4.2.0 later") }

// wants publishes a TLSRPT record.
func (r *rig) wants(domain, rua string) {
	r.DNS.Set("_smtp._tls."+domain, resolver.Records{TXT: []string{"v=TLSRPTv1; rua=" + rua}})
}

func (r *rig) sleep(d time.Duration) {
	time.Sleep(d) // in a bubble
	synctest.Wait()
}

// deliver delivers a message over the network of the World, as an MTA does.
func (r *rig) deliver(domain, mx string) {
	r.t.Helper()
	p, err := r.client.PolicyFor(r.t.Context(), domain)
	if err != nil {
		r.t.Fatal(err)
	}
	h, err := p.CheckMX(mx)
	if err != nil {
		return // treated as unreachable
	}
	conn, err := r.Dial(r.t.Context(), "tcp", net.JoinHostPort(mx, "25"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	h.Connection(&net.TCPAddr{IP: net.ParseIP("2001:db8::5"), Port: 4711}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 25), Port: 25}, mx)
	c, err := smtp.NewClient(conn, mx)
	if err != nil {
		r.t.Fatal(err)
	}
	if ok, _ := c.Extension("STARTTLS"); !ok {
		h.AllowFallback(mtasts.ErrNoSTARTTLS)
		return
	}
	if err := errors.Join(c.StartTLS(h.TLSConfig(&tls.Config{RootCAs: r.Roots(), InsecureSkipVerify: true})), c.Noop()); err != nil {
		h.AllowFallback(err)
		return
	}
	cs, _ := c.TLSConnectionState()
	h.Verify(cs)
}
