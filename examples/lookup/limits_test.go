package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/mtasts/diagnose"
)

func TestClientIsLimited(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		w := s.web()
		ask := func(remote string) *http.Response {
			return request(w, "GET", "/?domain=example.com", func(r *http.Request) { r.RemoteAddr = remote })
		}
		for range clientBurst {
			if resp := ask("192.0.2.1:1000"); resp.StatusCode != 200 {
				t.Fatal(resp.Status)
			}
		}
		resp := ask("192.0.2.1:1001")
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "3" {
			t.Errorf("%s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
		}
		if resp := request(w, "GET", "/", nil); resp.StatusCode != 200 {
			t.Errorf("the form: %s", resp.Status)
		}
		if resp := ask("192.0.2.2:1000"); resp.StatusCode != 200 {
			t.Errorf("another client: %s", resp.Status)
		}
		time.Sleep(clientPeriod)
		if first, second := ask("192.0.2.1:1000"), ask("192.0.2.1:1000"); first.StatusCode != 200 || second.StatusCode != 429 {
			t.Errorf("after a while: %s, then %s", first.Status, second.Status)
		}
		// One IPv6 network is one client, whatever addresses it has.
		for i := range clientBurst + 1 {
			resp = ask(fmt.Sprintf("[2001:db8::%x]:1000", i+1))
		}
		if resp.StatusCode != 429 {
			t.Errorf("many addresses of a network: %s", resp.Status)
		}
		if resp := ask("[2001:db8:0:1::1]:1000"); resp.StatusCode != 200 {
			t.Errorf("another network: %s", resp.Status)
		}
	})
}

func TestClientsAreBounded(t *testing.T) {
	c := newClients()
	for i := range maxClients + 10 {
		leave, _ := c.enter(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32))
		leave()
	}
	if n := c.all.Len(); n != maxClients {
		t.Errorf("%d clients are counted", n)
	}
}

func TestForwardedFor(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	for _, test := range []struct {
		remote    string
		forwarded []string
		proxies   []netip.Prefix
		want      string
	}{
		{"192.0.2.1:1", nil, nil, "192.0.2.1/32"},
		{"[::ffff:192.0.2.1]:1", nil, nil, "192.0.2.1/32"},
		{"[fe80::1%eth0]:1", nil, nil, "fe80::/64"},
		{"127.0.0.1:1", []string{"198.51.100.1"}, nil, "127.0.0.1/32"},
		{"192.0.2.1:1", []string{"198.51.100.1"}, proxies, "192.0.2.1/32"},
		{"127.0.0.1:1", []string{"198.51.100.1"}, proxies, "198.51.100.1/32"},
		{"127.0.0.1:1", []string{"203.0.113.9, 198.51.100.1", "10.0.0.1"}, proxies, "198.51.100.1/32"},
		{"127.0.0.1:1", []string{"2001:db8::1"}, proxies, "2001:db8::/64"},
		{"127.0.0.1:1", []string{"unknown"}, proxies, "127.0.0.1/32"},
		{"127.0.0.1:1", nil, proxies, "127.0.0.1/32"},
	} {
		r := &http.Request{RemoteAddr: test.remote, Header: http.Header{"X-Forwarded-For": test.forwarded}}
		if got := clientOf(r, test.proxies); got.String() != test.want {
			t.Errorf("%s for %q: %s, want %s", test.remote, test.forwarded, got, test.want)
		}
	}
}

// held is a server whose diagnoses end when the channel is closed.
func held(t *testing.T) (w *web, asked *[]string, end chan struct{}) {
	end, asked = make(chan struct{}), new([]string)
	w = newWeb(&inquiry{}, nil, nil)
	w.shared.diagnose = func(ctx context.Context, domain string) *diagnose.Report {
		w.shared.mu.Lock()
		*asked = append(*asked, domain)
		w.shared.mu.Unlock()
		select {
		case <-end:
		case <-ctx.Done():
		}
		return &diagnose.Report{Asked: domain, Domain: domain}
	}
	t.Cleanup(w.shared.close)
	return w, asked, end
}

func TestOneDiagnosisForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, asked, end := held(t)
		statuses := make(chan int, 10)
		for i := range cap(statuses) {
			go func() {
				name := []string{"example.com", "EXAMPLE.com.", "[example.com]:587"}[i%3]
				resp := request(w, "GET", apiPath+"?domain="+name, func(r *http.Request) { r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i) })
				statuses <- resp.StatusCode
			}()
		}
		synctest.Wait()
		close(end)
		for range cap(statuses) {
			if status := <-statuses; status != 200 {
				t.Errorf("status %d", status)
			}
		}
		ask := func() { request(w, "GET", "/?domain=example.com", nil) }
		time.Sleep(sharedFor - 1)
		ask()
		if len(*asked) != 1 || (*asked)[0] != "example.com" {
			t.Errorf("diagnosed: %q", *asked)
		}
		time.Sleep(2 * time.Nanosecond)
		ask()
		if len(*asked) != 2 {
			t.Errorf("a minute later, diagnosed: %q", *asked)
		}
	})
}

func TestConcurrencyIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, asked, end := held(t)
		ask := func(n, client int) int {
			return request(w, "GET", fmt.Sprintf("/?domain=d%d.example", n), func(r *http.Request) { r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", client) }).StatusCode
		}
		for i := range maxDiagnoses {
			go ask(i, i/clientAtOnce)
		}
		synctest.Wait()
		if status := ask(100, 0); status != 429 {
			t.Errorf("a client with %d questions under way gets %d", clientAtOnce, status)
		}
		resp := request(w, "GET", "/?domain=more.example", func(r *http.Request) { r.RemoteAddr = "192.0.2.200:1" })
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "10" {
			t.Errorf("a server with %d questions under way: %s, Retry-After %q", maxDiagnoses, resp.Status, resp.Header.Get("Retry-After"))
		}
		// Whoever asks what is being answered needs no place.
		done := make(chan int)
		go func() { done <- ask(3, 200) }()
		synctest.Wait()
		close(end)
		if status := <-done; status != 200 {
			t.Errorf("status %d", status)
		}
		synctest.Wait()
		if status := ask(100, 0); status != 200 || len(*asked) != maxDiagnoses+1 {
			t.Errorf("afterwards: %d after %d diagnoses", status, len(*asked))
		}
	})
}

// A client that leaves does not end the diagnosis for which others wait.
func TestClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, asked, end := held(t)
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan error, 2)
		for _, ctx := range []context.Context{ctx, t.Context()} {
			go func() {
				_, err := w.shared.report(ctx, "example.com")
				done <- err
			}()
		}
		synctest.Wait()
		leave()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("whoever left gets %v", err)
		}
		close(end)
		if err := <-done; err != nil || len(*asked) != 1 {
			t.Errorf("the other one: %v after %d diagnoses", err, len(*asked))
		}
	})
}
