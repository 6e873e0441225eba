//go:build linux

package mtasts_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// BenchmarkCold is the first PolicyFor of a domain, each time of another. The floor is a DNS
// query for the record, and a GET by net/http on a new connection with the same rules for
// TLS. It has no limits, checks neither address nor grammar, and caches nothing. cpu-ns/op
// is the time that this process spends on all cores.
func BenchmarkCold(b *testing.B) {
	s := startCold(b)
	for _, workers := range []int{1, 64} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.Run("impl=ours", func(b *testing.B) {
				before := openFiles(b)
				client := mtasts.NewForPort(s.port, new(cache.Memory), &mtasts.Options{
					Resolver:  resolver.System{Server: s.dns},
					RootCAs:   s.roots,
					AllowNets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
				})
				s.bench(b, workers, func(domain string) error {
					p, err := client.PolicyFor(context.Background(), domain)
					if err == nil && p.Mode != mtasts.ModeEnforce {
						err = p.Cause
					}
					return err
				})
				if err := client.Close(); err != nil {
					b.Error(err)
				}
				if after := openFiles(b); after > before {
					b.Errorf("%d files are left open", after-before)
				}
			})
			b.Run("impl=floor", func(b *testing.B) { s.bench(b, workers, s.floor()) })
		})
	}
}

// netResolver returns a resolver of the standard library that asks s.
func (s *coldSide) netResolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.dns)
	}}
}

// floor returns the least that finds the record and the policy file of a domain.
func (s *coldSide) floor() func(domain string) error {
	names := s.netResolver()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	client := &http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{Resolver: names}).DialContext,
		TLSClientConfig: &tls.Config{
			RootCAs:          s.roots,
			MinVersion:       tls.VersionTLS12,
			CurvePreferences: []tls.CurveID{tls.X25519},
		},
		Protocols:         protocols,
		DisableKeepAlives: true,
	}}
	return func(domain string) error {
		if _, err := names.LookupTXT(context.Background(), "_mta-sts."+domain+"."); err != nil {
			return err
		}
		resp, err := client.Get(fmt.Sprintf("https://mta-sts.%s:%d/.well-known/mta-sts.txt", domain, s.port))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && string(body) != coldPolicy {
			err = fmt.Errorf("%s: the body is %q", domain, body)
		}
		return err
	}
}

// bench calls find with b.N domains.
func (s *coldSide) bench(b *testing.B, workers int, find func(domain string) error) {
	s.prepare(b, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	start := cpuTime(b)
	for range workers {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				if err := find(coldDomain(int(n - 1))); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	reportCPU(b, start)
}

// reportCPU reports the CPU time since start for each operation.
func reportCPU(b *testing.B, start time.Duration) {
	b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
}

// coldSide is the other process, coldServer.
type coldSide struct {
	dns, https string
	port       uint16 // of https
	roots      *x509.CertPool
	in         io.Writer
	out        *bufio.Reader
}

func startCold(b *testing.B) *coldSide {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), coldEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("the other process: %v", err)
		}
	})
	s := &coldSide{roots: x509.NewCertPool(), in: in, out: bufio.NewReader(out)}
	line, _ := s.out.ReadString('\n')
	var root []byte
	if s.dns, s.https, root, err = coldHost(line); err != nil {
		b.Fatal(err)
	}
	s.port = netip.MustParseAddrPort(s.https).Port()
	s.roots.AppendCertsFromPEM(root)
	return s
}

// prepare has certificates made for the policy hosts of n domains.
func (s *coldSide) prepare(b *testing.B, n int) {
	b.Helper()
	fmt.Fprintln(s.in, n)
	if line, err := s.out.ReadString('\n'); line != "ready\n" {
		b.Fatalf("the other process says %q, %v", line, err)
	}
}

// cpuTime returns the CPU time that this process has used so far.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func openFiles(b *testing.B) int {
	b.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		b.Fatal(err)
	}
	return len(files)
}
