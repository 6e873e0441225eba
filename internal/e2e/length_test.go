//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
)

func TestPolicyFileWithoutLength(t *testing.T) {
	w := newWorld(t)
	client := w.open(t, filepath.Join(t.TempDir(), "policies.db"), w.dns.addr, 0)
	for _, minor := range []int{2, 3} {
		for way := range lengthlessWays() {
			domain := lengthlessDomain(way, minor)
			t.Run(domain, func(t *testing.T) {
				header := w.rawHeader(t, w.lengthlessAddr(minor), "mta-sts."+domain, tls.VersionTLS10+uint16(minor))
				for _, framing := range []string{"content-length", "transfer-encoding"} {
					if strings.Contains(header, framing) {
						t.Errorf("the answer has a %s:\n%s", framing, header)
					}
				}
				if strings.Contains(header, "content-encoding: gzip") != (way == "gzip") {
					t.Errorf("another content coding:\n%s", header)
				}
				p, err := client.PolicyFor(t.Context(), domain)
				if want := policy("enforce", 604800, "mx."+domain); err != nil || p.Mode != mtasts.ModeEnforce || p.Text != want {
					t.Errorf("%+v, %v, want %q", p, err, want)
				}
			})
		}
	}
}

// rawHeader returns the header of a policy host's answer in HTTP/1.1, as it is on the
// wire but in lower case.
func (w *world) rawHeader(t *testing.T, addr, host string, version uint16) string {
	t.Helper()
	conn, err := tls.Dial("tcp", addr+":443", &tls.Config{RootCAs: w.ca.Pool(), ServerName: host})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.ConnectionState().Version; got != version {
		t.Errorf("%s, want %s", tls.VersionName(got), tls.VersionName(version))
	}
	fmt.Fprintf(conn, "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n", host)
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(string(answer), "\r\n\r\n")
	return strings.ToLower(header)
}
