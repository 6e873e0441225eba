package fetch

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An attempt is a connection that a dialer under test tried to make.
type attempt struct {
	addr  string
	after time.Duration
}

// race runs a dialer over addrs in a bubble. outcome says what an attempt does: it is to
// "fail" at once, to be "silent" until its context ends, to be "late", or to succeed.
func race(t *testing.T, addrs []string, outcome map[string]string) (attempts []attempt, winner string, err error) {
	t.Helper()
	var found []netip.Addr
	for _, addr := range addrs {
		found = append(found, netip.MustParseAddr(addr))
	}
	start := time.Now()
	var mu sync.Mutex
	d := newDialer(Config{LookupNetIP: resolveTo(found...)})
	d.connect = func(ctx context.Context, _, address string) (net.Conn, error) {
		addr := netip.MustParseAddrPort(address).Addr().String()
		mu.Lock()
		attempts = append(attempts, attempt{addr, time.Since(start)})
		mu.Unlock()
		switch outcome[addr] {
		case "fail":
			return nil, errors.New("refused by " + addr)
		case "silent":
			<-ctx.Done()
			return nil, ctx.Err()
		case "late": // it connects after the race is over
			<-ctx.Done()
		}
		client, server := net.Pipe()
		go func() {
			server.Read(make([]byte, 1)) // ends when the client closes
			server.Close()
		}()
		return named{client, addr}, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeLimit)
	defer cancel()
	conn, err := d.dial(ctx, host)
	if err == nil {
		winner = conn.(named).addr
		conn.Close()
	}
	return attempts, winner, err
}

type named struct {
	net.Conn
	addr string
}

func TestDialTriesTheAddressesOfBothFamiliesInTurn(t *testing.T) {
	v6 := []string{"2620:fe::1", "2620:fe::2", "2620:fe::3"}
	v4 := []string{"9.9.9.1", "9.9.9.2"}
	fail := map[string]string{}
	for _, addr := range append(v6, v4...) {
		fail[addr] = "fail"
	}
	for _, test := range []struct{ name, addrs, want string }{
		{"IPv6 first", strings.Join(append(v6, v4...), " "), "2620:fe::1 9.9.9.1 2620:fe::2 9.9.9.2 2620:fe::3"},
		{"IPv4 first", strings.Join(append(v4, v6...), " "), "9.9.9.1 2620:fe::1 9.9.9.2 2620:fe::2 2620:fe::3"},
		{"IPv4 only", strings.Join(v4, " "), "9.9.9.1 9.9.9.2"},
	} {
		synctest.Test(t, func(t *testing.T) {
			attempts, _, err := race(t, strings.Fields(test.addrs), fail)
			var order []string
			for _, a := range attempts {
				order = append(order, a.addr)
				if a.after != 0 {
					t.Errorf("%s: waited %v after a failure", test.name, a.after)
				}
			}
			if got := strings.Join(order, " "); got != test.want {
				t.Errorf("%s: %s, want %s", test.name, got, test.want)
			}
			if err == nil || !strings.Contains(err.Error(), "refused by "+order[0]) {
				t.Errorf("%s: %v", test.name, err)
			}
		})
	}
}

func TestASilentAddressDelaysByAQuarterOfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		attempts, winner, err := race(t, []string{"2620:fe::1", "9.9.9.1", "9.9.9.2"},
			map[string]string{"2620:fe::1": "silent"})
		if took := time.Since(start); took != 250*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		want := []attempt{{"2620:fe::1", 0}, {"9.9.9.1", 250 * time.Millisecond}}
		if err != nil || winner != "9.9.9.1" || !slices.Equal(attempts, want) {
			t.Errorf("%s won, %v, after %v", winner, err, attempts)
		}
	})
}

// The bubble does not end before the losing connection is closed.
func TestALosingConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, winner, err := race(t, []string{"9.9.9.1", "9.9.9.2"}, map[string]string{"9.9.9.1": "late"})
		if err != nil || winner != "9.9.9.2" {
			t.Errorf("%s won, %v", winner, err)
		}
	})
}

// The owner of a name can give it hundreds of addresses.
func TestANameCausesAtMostEightConnections(t *testing.T) {
	for _, outcome := range []string{"fail", "silent"} {
		synctest.Test(t, func(t *testing.T) {
			var addrs []string
			outcomes := map[string]string{}
			for addr := netip.MustParseAddr("9.9.0.0"); len(addrs) < 500; addr = addr.Next() {
				addrs = append(addrs, addr.String())
				outcomes[addr.String()] = outcome
			}
			attempts, _, err := race(t, addrs, outcomes)
			if err == nil || len(attempts) != 8 {
				t.Errorf("%s: %d attempts, %v", outcome, len(attempts), err)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	notFound := &net.DNSError{Err: "no such host", Name: host + ".", IsNotFound: true}
	for name, test := range map[string]struct {
		addrs []netip.Addr
		err   error
		text  string
	}{
		"no such name": {nil, notFound, "no such host"},
		"no address":   {nil, nil, "the name has no address"},
		"not one":      {[]netip.Addr{{}}, nil, "invalid IP is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			client := New(Config{LookupNetIP: func(_ context.Context, network, name string) ([]netip.Addr, error) {
				if network != "ip" || name != host+"." {
					t.Errorf("looked up %q, %q", network, name)
				}
				return test.addrs, test.err
			}})
			body, err := client.Get(t.Context(), host)
			wantError(t, body, err, KindTransport, test.text)
			if found, _ := errors.AsType[*net.DNSError](err); test.err != nil && found != notFound {
				t.Errorf("the *net.DNSError is out of reach in %v", err)
			}
		})
	}
}

// The proxy in the environment is for other programs. It must not carry policies.
func TestTheEnvironmentsProxyIsNotUsed(t *testing.T) {
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	go func() {
		if conn, err := proxy.Accept(); err == nil {
			t.Error("the proxy was used")
			conn.Close()
		}
	}()
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://"+proxy.Addr().String())
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("no_proxy", "")
	request, _ := http.NewRequest("GET", "https://"+host, nil)
	if url, err := http.ProxyFromEnvironment(request); url == nil {
		t.Fatalf("the environment names no proxy: %v", err)
	}
	body, err := newClient(addrOf(serve(t, nil, publish))).Get(t.Context(), host)
	wantPolicy(t, body, err)
}
