//go:build e2e

package e2e

import (
	"fmt"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// lengthlessWays are why a policy host does not say how long its file is, so that the
// body ends with the connection: nginx with chunked_transfer_encoding off does so for
// what it changes on the way to the client, or gets without a length from elsewhere.
func lengthlessWays() []string { return []string{"gzip", "ssi", "proxy"} }

// lengthlessDomain is published in that way, over TLS 1.minor.
func lengthlessDomain(way string, minor int) string {
	return fmt.Sprintf("%s-tls1%d.example", way, minor)
}

// lengthlessAddr is where its policy host is. nginx has one list of TLS versions for
// all hosts of an address.
func (w *world) lengthlessAddr(minor int) string { return w.addr(byte(90 + minor)) }

func (s *setup) lengthless() {
	for _, minor := range []int{2, 3} {
		addr := s.lengthlessAddr(minor)
		for _, way := range lengthlessWays() {
			domain := lengthlessDomain(way, minor)
			host := "mta-sts." + domain
			root := fmt.Sprintf("root %s;", s.files(host))
			site := vhost{
				addr:  addr,
				names: []string{host},
				certs: []string{s.file(testpki.Must(s.ca.Issue(host)))},
				https: []string{fmt.Sprintf("ssl_protocols TLSv1.%d; chunked_transfer_encoding off;", minor), root},
			}
			const include = "ssi on; ssi_types text/plain;"
			switch way {
			case "gzip":
				site.https = append(site.https, "gzip on; gzip_types text/plain; gzip_min_length 1;")
			case "ssi":
				site.https = append(site.https, include)
			case "proxy":
				site.https = append(site.https, fmt.Sprintf("location / { proxy_pass http://%s; proxy_set_header Host $host; }", addr))
				site.http = []string{root, include}
			}
			s.site(site)
			s.policyFile(host, domain, policy("enforce", 604800, "mx."+domain))
			s.zone(domain, "mta-sts A "+addr, `_mta-sts TXT "v=STSv1; id=1;"`)
		}
	}
}
