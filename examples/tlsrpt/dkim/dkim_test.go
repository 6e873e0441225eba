package dkim_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/examples/tlsrpt/dkim"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
	"github.com/mtasts/go-mtasts/resolver"
)

// signedReport returns a report as it is mailed, signed with key.
func signedReport(t *testing.T, key ed25519.PrivateKey) (report []byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		dns := new(resolver.Fake)
		dns.Set("_smtp._tls.example.com", resolver.Records{TXT: []string{"v=TLSRPTv1; rua=mailto:tls-reports@example.com"}})
		collector, err := tlsrpt.New(new(cache.Memory), tlsrpt.Options{
			Organization: "Example Sender",
			Contact:      "postmaster@sender.example",
			From:         "tls-reports@sender.example",
			Resolver:     dns,
			Sign:         dkim.Signer("sender.example", "mail2026", key),
			SendMail: func(_ context.Context, _, _ string, message []byte) error {
				report = message
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		go collector.Run(t.Context())
		if err := collector.Add(tlsrpt.Outcome{Domain: "example.com", Type: tlsrpt.TypeNoPolicyFound, MX: "mx.example.com"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(48 * time.Hour) // in the bubble
		if err := collector.Close(); err != nil {
			t.Error(err)
		}
	})
	return report
}

// verify returns the header fields that the signature of a message covers. rest is what the key
// record has besides the key.
func verify(t *testing.T, message []byte, key ed25519.PrivateKey, rest string) ([]string, error) {
	t.Helper()
	all, err := msgauth.VerifyWithOptions(bytes.NewReader(message), &msgauth.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) {
			if name != "mail2026._domainkey.sender.example" {
				t.Errorf("looks up %s", name)
			}
			public := key.Public().(ed25519.PublicKey)
			return []string{"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public) + rest}, nil
		},
	})
	if err != nil || len(all) != 1 || all[0].Domain != "sender.example" {
		t.Fatalf("%v, %+v, want one signature of sender.example", err, all)
	}
	return all[0].HeaderKeys, all[0].Err
}

func TestSignedReport(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	report := signedReport(t, key)
	for _, rest := range []string{"", "; s=email", "; s=*", "; s=email:tlsrpt"} {
		fields, err := verify(t, report, key, rest)
		if err != nil {
			t.Errorf("with the key record %q: %v\n%s", rest, err, report)
		}
		for _, want := range []string{"From", "TLS-Report-Domain", "TLS-Report-Submitter", "TLS-Required"} {
			if !slices.Contains(fields, want) {
				t.Errorf("%s is not signed", want)
			}
		}
	}
	// What Signer advises against.
	if _, err := verify(t, report, key, "; s=tlsrpt"); err == nil {
		t.Error("a verifier of ordinary mail takes a key that is for reports only")
	}
	for _, change := range [][2]string{
		{"TLS-Report-Domain: example.com", "TLS-Report-Domain: example.net"},
		{"TLS-Report-Submitter: sender.example", "TLS-Report-Submitter: other.example"},
		{"sessions succeeded", "sessions failed"},
	} {
		changed := bytes.Replace(report, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(changed, report) {
			t.Fatalf("%q is not in the report:\n%s", change[0], report)
		}
		if _, err := verify(t, changed, key, ""); err == nil {
			t.Errorf("a report with %q verifies", change[1])
		}
	}
}
