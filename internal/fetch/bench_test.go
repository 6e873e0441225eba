package fetch

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
)

// BenchmarkGet is a Get of which both sides are in one process. The floor is a GET by
// net/http on a new connection, with the same rules for TLS; it leaves out the guard
// over the address and all limits.
func BenchmarkGet(b *testing.B) {
	server := serve(b, nil, publish)
	b.Run("ours", func(b *testing.B) {
		client := newClient(addrOf(server))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.Get(b.Context(), host); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		transport := &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, server.Addr)
			},
			TLSClientConfig: &tls.Config{
				RootCAs:          authority().Pool(),
				CurvePreferences: []tls.CurveID{tls.X25519},
			},
			DisableKeepAlives: true,
		}
		client := &http.Client{Transport: transport}
		b.ReportAllocs()
		for b.Loop() {
			resp, err := client.Get("https://" + host + "/.well-known/mta-sts.txt")
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadAll(resp.Body); err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
		}
	})
}
