//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A vhost is one virtual host of nginx, chosen by SNI and the Host field.
type vhost struct {
	addr       string   // "" for the usual address
	names      []string // server_name
	certs      []string // PEM files; two for RSA and ECDSA side by side
	directives string   // without any, it serves the policyFile of its name
}

// nginxConf is followed by the virtual hosts. A client whose request has no host of ours,
// or no host at all, gets a certificate for another name and a 421.
//
// As in Debian's nginx.conf, mime.types is read: "return 200" takes the media type, too,
// from the extension in the URL.
const nginxConf = `user www-data;
pid nginx.pid;
events { worker_connections 128; }
http {
include /etc/nginx/mime.types;
default_type application/octet-stream;
server_names_hash_bucket_size 128;
access_log access.log combined;
client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
root www/$host;
server { listen %[1]s:443 ssl http2 default_server; %[2]s return 421; }
`

// startNginx serves the policies on port 443 of addr. Its files are in dir/www; its log,
// with a line for each request, is dir/access.log.
func startNginx(t *testing.T, dir, addr, fallback string, hosts []vhost) {
	t.Helper()
	var conf strings.Builder
	fmt.Fprintf(&conf, nginxConf, addr, keyPair(fallback))
	for _, h := range hosts {
		fmt.Fprintf(&conf, "server { listen %s:443 ssl http2; server_name %s; %s\n", cmp.Or(h.addr, addr), strings.Join(h.names, " "), h.directives)
		for _, cert := range h.certs {
			fmt.Fprintln(&conf, keyPair(cert))
		}
		fmt.Fprintln(&conf, "}")
	}
	write(t, filepath.Join(dir, "nginx.conf"), conf.String()+"}\n")
	startDaemon(t, dir, nginxProgram, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr", "-g", "daemon off;").
		listening(t, addr+":443")
}

func keyPair(file string) string {
	return fmt.Sprintf("ssl_certificate %s; ssl_certificate_key %s;", file, file)
}
