package diagnose_test

import (
	"net"
	"net/http"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// Whatever a domain publishes, a report is whole, bounded and printable, and its verdict is
// that of a Client.
func FuzzDiagnose(f *testing.F) {
	f.Add("v=STSv1; id=1;", "version: STSv1\nmode: enforce\nmax_age: 604800\nmx: mx.example.com\n", 200, "text/plain", "mx.example.com", "v=TLSRPTv1; rua=mailto:a@b")
	f.Add("\"v=STSv1\\; id=\xff", "<html>\r\nmx: *.\u00fc\nMode: enforce", 403, "text/html, text/plain", "a.b.example.com.", "v=TLSRPTv1;")
	l := newLabOutside() // a new one each time would be a new certificate, and new coverage
	f.Fuzz(func(t *testing.T, txt, body string, status int, mediaType, mx, tlsrpt string) {
		if status < 200 || status > 599 {
			status = 200
		}
		l.record(txt)
		l.SetPolicyHost(domain, mtaststest.PolicyHost{Status: status, Header: http.Header{"Content-Type": {mediaType}}, Body: body})
		l.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: mx}, {Host: mxHost}}})
		l.DNS.Set("_smtp._tls."+domain, resolver.Records{TXT: []string{tlsrpt}})
		l.diagnose(t)
	})
}
