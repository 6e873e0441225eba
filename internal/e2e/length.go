//go:build e2e

package e2e

import "fmt"

// lengthlessWays are reasons why a policy host does not send the length of its file, so
// that the body ends with the connection: nginx with chunked_transfer_encoding off does so
// for what it compresses, and for what may include other files.
func lengthlessWays() map[string]string {
	return map[string]string{
		"gzip": "gzip on; gzip_types text/plain; gzip_min_length 1;",
		"ssi":  "ssi on; ssi_types text/plain;",
	}
}

// lengthlessDomain is published in that way, over TLS 1.minor.
func lengthlessDomain(way string, minor int) string {
	return fmt.Sprintf("%s-tls1%d.example", way, minor)
}

// lengthlessAddr is the address of its policy host. nginx has one list of TLS versions for
// all hosts of an address.
func (w *world) lengthlessAddr(minor int) string { return w.addr(byte(90 + minor)) }

func (s *setup) lengthless() {
	for _, minor := range []int{2, 3} {
		for way, directives := range lengthlessWays() {
			domain, addr := lengthlessDomain(way, minor), s.lengthlessAddr(minor)
			s.zone("mta-sts."+domain+" A "+addr, "_mta-sts."+domain+` TXT "v=STSv1; id=1;"`)
			s.site(vhost{
				addr:       addr,
				names:      []string{"mta-sts." + domain},
				directives: fmt.Sprintf("ssl_protocols TLSv1.%d; chunked_transfer_encoding off; %s", minor, directives),
			})
			write(s.T, s.policyFile(domain), policy("enforce", 604800, "mx."+domain))
		}
	}
}
