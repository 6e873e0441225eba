package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/resolver"
)

// start starts lookup serve on a free port, and returns its address and what ends it.
func start(t *testing.T, network diagnose.Options, args ...string) (address string, end context.CancelFunc, status <-chan int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	said, says := io.Pipe()
	p := &program{stdout: &screen{Writer: says, width: 80}, stderr: &screen{Writer: t.Output(), width: 80}, network: network}
	done := make(chan int, 1)
	go func() { done <- p.run(ctx, append([]string{"serve", "-listen", "127.0.0.1:0"}, args...)) }()
	if _, err := fmt.Fscanf(said, "lookup serves %s\n", &address); err != nil {
		t.Fatal(err)
	}
	return address, cancel, done
}

// served is the address of a server that ends with the test.
func served(t *testing.T, args ...string) string {
	t.Helper()
	address, end, status := start(t, diagnose.Options{}, args...)
	t.Cleanup(func() {
		end()
		if status := <-status; status != exitFine {
			t.Errorf("exit status %d", status)
		}
	})
	return address
}

func get(address string) (*http.Response, string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(address)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func TestServeDemo(t *testing.T) {
	address := served(t, "-demo")
	for path, want := range map[string]string{
		"":                         `<a href="/?domain=broken.example">broken.example</a>`,
		"?domain=good.example":     "Mail is protected",
		"?domain=broken.example":   "Mail is held back",
		"?domain=attacked.example": "mode enforce, cached",
		"?domain=other.example":    "The domain takes no mail",
	} {
		resp, page, err := get(address + path)
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(page, want) {
			t.Errorf("%q: %v, %.2000s", path, err, page)
		}
		wellFormed(t, page)
	}
}

// One client cannot have all connections; a proxy can.
func TestConnectionsOfAClientAreLimited(t *testing.T) {
	for _, test := range []struct {
		args    []string
		refused bool
	}{{nil, true}, {[]string{"-proxy", "127.0.0.0/8"}, false}} {
		address := strings.TrimSuffix(strings.TrimPrefix(served(t, test.args...), "http://"), "/")
		refused := false
		for range clientConns + 1 {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			_, err = conn.Read(make([]byte, 1))
			refused = err != nil
		}
		if refused != test.refused {
			t.Errorf("%q: the last is refused: %v", test.args, refused)
		}
	}
}

func TestServeRefusesArguments(t *testing.T) {
	s := newStage(t)
	for _, args := range []string{"serve example.com", "serve -listen nowhere", "serve -proxy 10.0.0.1", "serve -db @/store", "serve -json"} {
		status, stdout, stderr := s.lookup(strings.Fields(args)...)
		if status == exitFine || stdout != "" || stderr == "" {
			t.Errorf("%s: %d, %q, %q", args, status, stdout, stderr)
		}
	}
}

// slow is a resolver whose answers wait.
type slow struct {
	*resolver.Fake
	asked, answer chan struct{}
}

func (s *slow) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if name == "_mta-sts.example.com." {
		close(s.asked)
		<-s.answer
	}
	return s.Fake.LookupTXT(ctx, name)
}

// A server that is told to end accepts nothing more, and answers what it has accepted.
func TestServeEndsInOrder(t *testing.T) {
	dns := &slow{&resolver.Fake{}, make(chan struct{}), make(chan struct{})}
	address, end, status := start(t, diagnose.Options{Resolver: dns})
	answer := make(chan string, 1)
	go func() {
		_, page, err := get(address + "?domain=example.com")
		answer <- fmt.Sprint(err, page)
	}()
	<-dns.asked
	end()
	for host := strings.Trim(address, "htp:/"); ; {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			break
		}
		conn.Close()
	}
	close(dns.answer)
	if page := <-answer; !strings.Contains(page, "example.com</span> The domain takes no mail") {
		t.Errorf("the answer under way: %s", page)
	}
	if status := <-status; status != exitFine {
		t.Errorf("exit status %d", status)
	}
}

func TestHTMLFile(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		s.stdin = "example.com\nother.example\na..b\n"
		status, stdout, stderr := s.lookup("-html", "@/page.html", "-")
		if status != exitFindings || !strings.Contains(stdout, "other.example") || stderr != "" {
			t.Errorf("%d, %q, %q", status, stdout, stderr)
		}
		page, err := os.ReadFile(filepath.Join(s.dir, "page.html"))
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, string(page))
		for text, times := range map[string]int{"<article": 3, "<form": 0, "Content-Security-Policy": 1, "/api/": 0} {
			if got := strings.Count(string(page), text); got != times {
				t.Errorf("the page has %d times %s", got, text)
			}
		}

		status, _, stderr = s.lookup("-html", "@/no/page.html", "example.com")
		if status != exitUnknown || !strings.Contains(stderr, "@/no/page.html") {
			t.Errorf("a file that cannot be written: %d, %q", status, stderr)
		}
	})
}
