package mtasts_test

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/mtasts/go-mtasts/internal/testpki"
	"github.com/mtasts/go-mtasts/mtasts"
)

// sizes counts the octets of the first write: the ClientHello.
type sizes struct {
	net.Conn
	first int
}

func (s *sizes) Write(b []byte) (int, error) {
	if s.first == 0 {
		s.first = len(b)
	}
	return s.Conn.Write(b)
}

// The documentation says that old servers fail by default, and how a base changes that.
func TestABaseMeetsOldServers(t *testing.T) {
	ca := testpki.Must(testpki.New())
	cert := testpki.Must(ca.IssueRSA("mx.example.com"))
	p := &mtasts.Policy{Domain: domain, Mode: mtasts.ModeEnforce, MX: []string{"mx.example.com"}}
	handshake := func(server, base *tls.Config) (hello int, err error) {
		t.Helper()
		server.Certificates = []tls.Certificate{cert}
		h, err := p.CheckMX("mx.example.com")
		if err != nil {
			t.Fatal(err)
		}
		base.RootCAs = ca.Pool()
		a, b := net.Pipe()
		defer a.Close()
		go func() {
			defer b.Close()
			tls.Server(b, server).Handshake()
		}()
		conn := &sizes{Conn: a}
		client := tls.Client(conn, h.TLSConfig(base))
		err = client.Handshake()
		if err == nil {
			err = h.Verify(client.ConnectionState())
		}
		return conn.first, err
	}
	old := func() *tls.Config {
		return &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}
	}
	if _, err := handshake(old(), &tls.Config{}); err == nil {
		t.Error("RSA key exchange is on by default")
	}
	if _, err := handshake(old(), &tls.Config{CipherSuites: []uint16{
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}); err != nil {
		t.Errorf("with RSA key exchange in CipherSuites: %v", err)
	}
	hello, err := handshake(&tls.Config{}, &tls.Config{})
	if err != nil || hello < 1400 {
		t.Errorf("by default the first message has %d octets (%v)", hello, err)
	}
	hello, err = handshake(&tls.Config{}, &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}})
	if err != nil || hello > 600 {
		t.Errorf("without post-quantum groups the first message has %d octets (%v)", hello, err)
	}
}
