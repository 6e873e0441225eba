package rediscache_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"
)

// rights are those that the package documentation lists for an ACL user.
const rights = "~mtasts:* -@all +ping +hello +info +client +cluster|slots +cluster|shards +getrange +set +pttl +del +scan +eval +evalsha +script|load"

func TestTheDocumentedRightsOfAnACLUserAreEnough(t *testing.T) {
	for _, name := range []string{"doc.go", "README.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(strings.Fields(strings.ReplaceAll(string(text), "//", "")), " "), rights) {
			t.Errorf("%s does not list %q", name, rights)
		}
	}
	s := startServer(t)
	s.do(append([]string{"ACL", "SETUSER", "mtasts", "on", ">secret"}, strings.Fields(rights)...)...)
	option := s.option()
	option.Username, option.Password = "mtasts", "secret"
	store := open(t, option, nil)
	put(t, store, "example.com", "value", time.Now())
	want(t, store, "example.com", "value")
	if all := scanAll(t, store, 10); len(all) != 1 {
		t.Errorf("Scan: %q", all)
	}
	if ok, err := store.Lease(t.Context(), "walk", time.Minute); !ok || err != nil {
		t.Errorf("Lease = %v, %v", ok, err)
	}
	if err := store.Alert(t.Context(), "example.com"); err != nil {
		t.Errorf("Alert: %v", err)
	}
	if !store.Stats().Connected {
		t.Error("Stats: not connected")
	}

	option.Password = "wrong"
	refused := open(t, option, nil)
	if _, _, err := refused.Get(t.Context(), "example.com"); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("with a wrong password: %v", err)
	}
}

func TestTheServerIsReachedOverTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-hour), NotAfter: time.Now().Add(hour), IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	port := strconv.Itoa(freePort(t))
	startServer(t, "--tls-port", port, "--tls-auth-clients", "no",
		"--tls-cert-file", write("cert.pem", "CERTIFICATE", certificate), "--tls-key-file", write("key.pem", "PRIVATE KEY", private))

	option := valkey.ClientOption{InitAddress: []string{net.JoinHostPort("127.0.0.1", port)}, TLSConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
	if _, _, err := open(t, option, nil).Get(t.Context(), "example.com"); err == nil {
		t.Error("the certificate of an unknown authority is accepted")
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	option.TLSConfig.RootCAs.AddCert(parsed)
	store := open(t, option, nil)
	put(t, store, "example.com", "value", time.Now())
	want(t, store, "example.com", "value")
}
