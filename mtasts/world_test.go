package mtasts_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/smtp"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

const (
	domain = "example.com"
	txt    = "_mta-sts.example.com"
	week   = 7 * 24 * time.Hour
)

// env is a World, a store that outlives clients, and the client under test.
type env struct {
	*mtaststest.World
	t      *testing.T
	store  mtasts.Store
	opts   *mtasts.Options
	client *mtasts.Client
}

// play runs a test in a bubble, in which time passes only when all goroutines wait. A
// goroutine that outlives the client fails the test.
func play(t *testing.T, test func(t *testing.T, e *env)) {
	synctest.Test(t, func(t *testing.T) {
		w := mtaststest.NewWorld()
		e := &env{World: w, t: t, store: new(cache.Memory), opts: w.Options()}
		e.start()
		test(t, e)
		e.stop()
	})
}

func (e *env) start() { e.client = mtasts.New(e.store, e.opts) }

func (e *env) stop() {
	e.t.Helper()
	if err := e.client.Close(); err != nil {
		e.t.Errorf("Close: %v", err)
	}
}

// restart is a restart of the process: what was in memory is gone.
func (e *env) restart() {
	e.t.Helper()
	e.stop()
	e.start()
}

// policy asks for example.com, and waits for checks in the background.
func (e *env) policy() *mtasts.Policy {
	e.t.Helper()
	return e.policyFor(domain)
}

func (e *env) policyFor(name string) *mtasts.Policy {
	e.t.Helper()
	p, err := e.client.PolicyFor(e.t.Context(), name)
	if err != nil {
		e.t.Fatalf("PolicyFor(%q): %v", name, err)
	}
	synctest.Wait()
	return p
}

// want asserts mode and id of a policy.
func (e *env) want(p *mtasts.Policy, mode mtasts.Mode, id string) {
	e.t.Helper()
	if p.Mode != mode || p.ID != id {
		e.t.Fatalf("policy is %q with id %q (cause: %v), want %q with id %q", p.Mode, p.ID, p.Cause, mode, id)
	}
}

// publish publishes an enforced policy for example.com that lives for a week.
func (e *env) publish(id string, mx ...string) {
	e.Publish(domain, id, mtaststest.Policy(mtasts.ModeEnforce, week, mx...))
}

// cachePolicy publishes such a policy under id 1 and has the client cache it.
func (e *env) cachePolicy() {
	e.t.Helper()
	e.publish("1", "mx.example.com")
	e.want(e.policy(), mtasts.ModeEnforce, "1")
}

// sleep lets time pass.
func (e *env) sleep(d time.Duration) {
	time.Sleep(d) // in a bubble
	synctest.Wait()
}

// blockDNS makes each look-up of the TXT record fail.
func (e *env) blockDNS(how resolver.Failure) { e.DNS.Set(txt, resolver.Records{Fail: how}) }

// deliver delivers a message to one MX host as an MTA does, and returns the violation, if any.
func (e *env) deliver(p *mtasts.Policy, mx string, base *tls.Config) error {
	e.t.Helper()
	h, err := p.CheckMX(mx)
	if err != nil {
		return err
	}
	return e.session(h, mx, base)
}

func (e *env) session(h *mtasts.Host, mx string, base *tls.Config) error {
	secure := func(c *smtp.Client) error {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return mtasts.ErrNoSTARTTLS
		}
		if err := c.StartTLS(h.TLSConfig(base)); err != nil {
			return err
		}
		if err := c.Noop(); err != nil { // net/smtp does the handshake late
			return err
		}
		cs, _ := c.TLSConnectionState()
		if err := h.Verify(cs); err != nil {
			e.t.Errorf("Verify refuses what the handshake accepted: %v", err)
		}
		return nil
	}
	send := func(starttls bool) error {
		conn, err := e.Dial(e.t.Context(), "tcp", net.JoinHostPort(mx, "25"))
		if err != nil {
			e.t.Fatal(err)
		}
		c, err := smtp.NewClient(conn, mx)
		if err != nil {
			e.t.Fatal(err)
		}
		defer c.Close()
		if starttls {
			if err := secure(c); err != nil {
				return err
			}
		}
		if err := errors.Join(c.Mail("a@sender.example"), c.Rcpt("b@"+domain)); err != nil {
			e.t.Fatal(err)
		}
		body, err := c.Data()
		if err != nil {
			e.t.Fatal(err)
		}
		body.Write([]byte("Subject: test\r\n\r\nHello.\r\n"))
		if err := body.Close(); err != nil {
			e.t.Fatal(err)
		}
		c.Quit()
		return nil
	}
	err := send(true)
	if err == nil {
		return nil
	}
	if err := h.AllowFallback(err); err != nil {
		return err
	}
	return send(false)
}

// opportunistic is the base of a sender that accepts any certificate where no policy
// enforces.
func (e *env) opportunistic() *tls.Config {
	return &tls.Config{RootCAs: e.Roots(), InsecureSkipVerify: true}
}

// events returns the reported events of a kind.
func (e *env) events(kind mtasts.EventKind) []mtasts.Event {
	var found []mtasts.Event
	for _, event := range e.Events() {
		if event.Kind == kind {
			found = append(found, event)
		}
	}
	return found
}

// result returns the Result of an error of the package.
func result(err error) mtasts.Result {
	if e, ok := errors.AsType[*mtasts.Error](err); ok {
		return e.Result
	}
	return "not an *mtasts.Error"
}

// brokenStore is a Store that fails when it is told to.
type brokenStore struct {
	mtasts.Store

	mu             sync.Mutex
	getErr, putErr error
}

// fail makes reads and writes fail with these errors; nil mends them.
func (s *brokenStore) fail(get, put error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.getErr, s.putErr = get, put
}

func (s *brokenStore) errs() (get, put error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.getErr, s.putErr
}

func (s *brokenStore) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err, _ := s.errs(); err != nil {
		return nil, false, err
	}
	return s.Store.Get(ctx, key)
}

func (s *brokenStore) Write(ctx context.Context, changes []cache.Change) error {
	if _, err := s.errs(); err != nil {
		return err
	}
	return s.Store.Write(ctx, changes)
}
