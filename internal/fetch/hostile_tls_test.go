package fetch

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// serveRaw runs handle for each connection with a listener, until the end of the
// test.
func serveRaw(t *testing.T, handle func(net.Conn)) net.Addr {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			handle(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return listener.Addr()
}

// getAt does a Get from a listener. It must end long before the time limit of a minute.
func getAt(t *testing.T, addr net.Addr) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	body, err := newClient(addr).Get(ctx, host)
	if ctx.Err() != nil {
		t.Errorf("only its context ended the Get: %v", err)
	}
	return body, err
}

// serverHello is a hello that chooses from what crypto/tls offers.
var serverHello = slices.Concat([]byte{3, 3}, make([]byte, 32), []byte{0, 0xc0, 0x2b, 0, 0, 0})

func TestAMalformedHandshakeIsRefused(t *testing.T) {
	noise := make([]byte, 8192)
	mathrand.NewChaCha8([32]byte{}).Read(noise)
	hello := plainRecord(recordHandshake, handshakeMessage(2, serverHello))
	certificates := make([]byte, 300<<10)
	copy(certificates, []byte{0x04, 0xaf, 0xfd, 0x04, 0xaf, 0xfa})
	for name, send := range map[string]func(io.Writer){
		"nothing":                  func(io.Writer) {},
		"noise":                    endless("", string(noise)),
		"noise in a record":        func(w io.Writer) { w.Write(plainRecord(recordHandshake, noise)) },
		"SMTP":                     func(w io.Writer) { io.WriteString(w, "220 mx.example.com ESMTP\r\n") },
		"HTTP":                     func(w io.Writer) { io.WriteString(w, sized) },
		"SSL 2":                    func(w io.Writer) { w.Write([]byte{0x80, 0x2e, 4, 0, 1, 0, 2}) },
		"SSL 3":                    func(w io.Writer) { w.Write([]byte{recordHandshake, 3, 0, 0, 4, 2, 0, 0, 0}) },
		"an alert":                 func(w io.Writer) { w.Write(plainRecord(recordAlert, []byte{2, 40})) },
		"an alert of no octets":    func(w io.Writer) { w.Write(plainRecord(recordAlert, nil)) },
		"an alert of no such kind": func(w io.Writer) { w.Write(plainRecord(recordAlert, []byte{9, 255})) },
		"warnings":                 endless("", string(plainRecord(recordAlert, []byte{1, 90}))),
		"empty records":            endless("", string(plainRecord(recordHandshake, nil))),
		"changes of the cipher":    endless("", string(plainRecord(recordCipherChange, []byte{1}))),
		"data before the hello":    endless("", string(plainRecord(recordData, []byte("x")))),
		"a record of no such kind": func(w io.Writer) { w.Write(plainRecord(99, []byte("x"))) },
		"a record of 64 KiB":       endless("\x16\x03\x03\xff\xff", "\x00"),
		"half a record":            func(w io.Writer) { w.Write(hello[:20]) },
		"a message of 16 MiB":      endless("", string(plainRecord(recordHandshake, []byte("\x02\xff\xff\xff")))),
		"a hello of no octets":     func(w io.Writer) { w.Write(plainRecord(recordHandshake, handshakeMessage(2, nil))) },
		"a hello and no more":      func(w io.Writer) { w.Write(hello) },
		"a hello, and another": func(w io.Writer) {
			w.Write(hello)
			w.Write(hello)
		},
		"the client's hello": func(w io.Writer) {
			w.Write(plainRecord(recordHandshake, handshakeMessage(1, serverHello)))
		},
		"a request to begin again": func(w io.Writer) { w.Write(plainRecord(recordHandshake, handshakeMessage(0, nil))) },
		"certificates without end": func(w io.Writer) {
			w.Write(hello)
			for chunk := range slices.Chunk(handshakeMessage(11, certificates), 16<<10) {
				if _, err := w.Write(plainRecord(recordHandshake, chunk)); err != nil {
					return
				}
			}
		},
		"no certificate": func(w io.Writer) {
			w.Write(hello)
			w.Write(plainRecord(recordHandshake, handshakeMessage(11, []byte{0, 0, 0})))
		},
		"a certificate that is none": func(w io.Writer) {
			w.Write(hello)
			w.Write(plainRecord(recordHandshake, handshakeMessage(11, []byte{0, 0, 7, 0, 0, 4, 1, 2, 3, 4})))
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr := serveRaw(t, func(conn net.Conn) {
				conn.Read(make([]byte, 4096))
				send(conn)
			})
			body, err := getAt(t, addr)
			wantRefused(t, body, err, KindTransport)
		})
	}
}

// After the handshake a host can send other records than data. They are bounded, and
// never treated as data.
func TestAMalformedSessionIsRefused(t *testing.T) {
	const (
		newSessionTicket   = 4
		certificateRequest = 13
		keyUpdate          = 24
		helloRequest       = 0
	)
	cut := len(sized) - 10 // in the body
	flood := func(kind byte, content string) func(*sealer) {
		return func(s *sealer) {
			s.Write(s.records(recordData, sized[:cut]))
			for {
				if _, err := s.Write(s.records(kind, slices.Repeat([]string{content}, 100)...)); err != nil {
					return
				}
			}
		}
	}
	one := func(kind byte, content string) func(*sealer) {
		return func(s *sealer) {
			s.Write(s.records(recordData, sized[:cut]))
			s.Write(s.records(kind, content))
			s.Write(s.records(recordData, sized[cut:]))
		}
	}
	message := func(kind byte, content string) string { return string(handshakeMessage(kind, []byte(content))) }
	for name, test := range map[string]struct {
		version uint16
		send    func(*sealer)
		good    bool
	}{
		"1.2, good":                       {tls.VersionTLS12, func(s *sealer) { s.Write(s.records(recordData, sized)) }, true},
		"1.3, good":                       {tls.VersionTLS13, func(s *sealer) { s.Write(s.records(recordData, sized)) }, true},
		"1.2, a few empty records":        {tls.VersionTLS12, func(s *sealer) { s.Write(s.records(recordData, "", "", sized)) }, true},
		"1.2, a request to begin again":   {tls.VersionTLS12, one(recordHandshake, message(helloRequest, "")), false},
		"1.2, requests to begin again":    {tls.VersionTLS12, flood(recordHandshake, message(helloRequest, "")), false},
		"1.2, a client's hello":           {tls.VersionTLS12, one(recordHandshake, message(1, string(serverHello))), false},
		"1.2, a warning":                  {tls.VersionTLS12, one(recordAlert, "\x01\x5a"), true},
		"1.2, warnings":                   {tls.VersionTLS12, flood(recordAlert, "\x01\x5a"), false},
		"1.2, an alert":                   {tls.VersionTLS12, one(recordAlert, "\x02\x50"), false},
		"1.2, the end":                    {tls.VersionTLS12, one(recordAlert, "\x01\x00"), false},
		"1.2, empty records":              {tls.VersionTLS12, flood(recordData, ""), false},
		"1.2, changes of the cipher":      {tls.VersionTLS12, flood(recordCipherChange, "\x01"), false},
		"1.2, a record of no such kind":   {tls.VersionTLS12, one(99, "x"), false},
		"1.2, a record not encrypted":     {tls.VersionTLS12, func(s *sealer) { s.Write(plainRecord(recordData, []byte(sized))) }, false},
		"1.2, a record too long":          {tls.VersionTLS12, one(recordData, strings.Repeat("#", 20000)), false},
		"1.3, a record not encrypted":     {tls.VersionTLS13, func(s *sealer) { s.Write(plainRecord(recordData, []byte(sized))) }, false},
		"1.3, a record too long":          {tls.VersionTLS13, one(recordData, strings.Repeat("#", 20000)), false},
		"1.3, a record sent twice":        {tls.VersionTLS13, func(s *sealer) { s.Write(bytes.Repeat(s.records(recordData, sized[:99]), 2)) }, false},
		"1.3, empty records":              {tls.VersionTLS13, flood(recordData, ""), false},
		"1.3, an alert":                   {tls.VersionTLS13, one(recordAlert, "\x02\x50"), false},
		"1.3, the end":                    {tls.VersionTLS13, one(recordAlert, "\x01\x00"), false},
		"1.3, an alert of one octet":      {tls.VersionTLS13, one(recordAlert, "\x01"), false},
		"1.3, a request to begin again":   {tls.VersionTLS13, one(recordHandshake, message(helloRequest, "")), false},
		"1.3, a hello":                    {tls.VersionTLS13, one(recordHandshake, message(2, string(serverHello))), false},
		"1.3, a request for certificates": {tls.VersionTLS13, one(recordHandshake, message(certificateRequest, "\x00\x00\x00")), false},
		"1.3, a ticket of 64 KiB":         {tls.VersionTLS13, flood(recordHandshake, "\x04\x01\x00\x00"+strings.Repeat("x", 4092)), false},
		"1.3, a ticket of no octets":      {tls.VersionTLS13, one(recordHandshake, message(newSessionTicket, "")), false},
		"1.3, new keys":                   {tls.VersionTLS13, rekey(1, "\x00"), true},
		"1.3, new keys for both":          {tls.VersionTLS13, rekey(1, "\x01"), true},
		"1.3, ever new keys":              {tls.VersionTLS13, rekey(1000, "\x00"), false},
		"1.3, ever new keys for both":     {tls.VersionTLS13, rekey(1000, "\x01"), false},
		"1.3, new keys of no such kind":   {tls.VersionTLS13, rekey(1, "\x02"), false},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := getAt(t, sealed(t, test.version, test.send))
			if test.good {
				wantPolicy(t, body, err)
			} else {
				wantRefused(t, body, err, KindTransport)
			}
		})
	}
}

// rekey sends n KeyUpdates, and then the answer.
func rekey(n int, request string) func(*sealer) {
	return func(s *sealer) {
		for range n {
			s.Write(s.record(recordHandshake, handshakeMessage(24, []byte(request))))
			s.update()
		}
		s.Write(s.records(recordData, sized))
	}
}

// Certificates can hold any octets, and a host can send any number of them.
func TestCertificatesOfAnySizeAndNumber(t *testing.T) {
	ca := authority()
	many := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf("mx%d.\x1b[31mexample.net", i))
		}
		return names
	}
	with := func(cert tls.Certificate, more ...tls.Certificate) tls.Certificate {
		for _, c := range more {
			cert.Certificate = append(slices.Clip(cert.Certificate), c.Certificate...)
		}
		return cert
	}
	stray := testpki.Must(testpki.SelfSigned("stray.example"))
	long := strings.Repeat("\x1b", 60<<10)
	for name, test := range map[string]struct {
		cert tls.Certificate
		kind Kind // 0: good
	}{
		"a hundred that belong to nobody":   {with(goodCert(), slices.Repeat([]tls.Certificate{stray}, 100)...), 0},
		"a hundred, and no authority":       {with(stray, slices.Repeat([]tls.Certificate{stray}, 100)...), KindCertificate},
		"more than 256 KiB":                 {with(goodCert(), slices.Repeat([]tls.Certificate{stray}, 1000)...), KindTransport},
		"a name of 60 KiB":                  {testpki.Must(ca.Issue(long)), KindCertificate},
		"names of 60 KiB in all":            {testpki.Must(ca.Issue(many(2000)...)), KindCertificate},
		"99 names":                          {testpki.Must(ca.Issue(many(99)...)), KindCertificate},
		"a common name of 60 KiB":           {testpki.Must(ca.Sign(x509.Certificate{Subject: pkix.Name{CommonName: long}})), KindCertificate},
		"an organization that is no letter": {testpki.Must(ca.Sign(x509.Certificate{Subject: pkix.Name{Organization: []string{"\x00\r\n"}}})), KindCertificate},
		"an authority of 15 KiB":            {with(testpki.Must(ownAuthority(long[:15<<10])), testpki.Must(ownAuthority(long[:15<<10]))), KindCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			body, _, err := getFrom(t, test.cert)
			if test.kind == 0 {
				wantPolicy(t, body, err)
			} else {
				wantRefused(t, body, err, test.kind)
			}
		})
	}
}

// ownAuthority returns a self-signed certificate for the host, with any name as its
// authority.
func ownAuthority(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{host},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
