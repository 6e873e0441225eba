//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A vhost is one virtual host of nginx, chosen by SNI and the Host field, or
// by an address of its own.
type vhost struct {
	addr  string   // "" for the usual one
	names []string // server_name
	certs []string // PEM files; two for RSA and ECDSA side by side
	https []string // directives on port 443
	http  []string // directives on port 80; none: nothing is served there
}

// nginx serves the policies.
type nginx struct {
	*daemon
	accessLog string // the file with a line for each request
}

// startNginx serves hosts on ports 443 and 80 of addr. A client that names no
// host of ours, or no host at all, gets the certificate fallback and a 421.
func startNginx(t *testing.T, dir, addr, fallback string, hosts []vhost) *nginx {
	t.Helper()
	var conf strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&conf, format+"\n", args...) }
	line("user www-data;")
	line("worker_processes 1;")
	line("pid %s/nginx.pid;", dir)
	line("events { worker_connections 128; }")
	line("http {")
	// As in Debian's own nginx.conf. "return 200" takes its media type from
	// the extension in the URL too, so mime.types makes it text/plain.
	line("include /etc/nginx/mime.types;")
	line("default_type application/octet-stream;")
	line("server_names_hash_bucket_size 128;")
	accessLog := filepath.Join(dir, "access.log")
	line("access_log %s combined;", accessLog)
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		line("%s_temp_path %s/temp/%s;", temp, dir, temp)
	}
	line("server { listen %s:443 ssl http2 default_server; %s return 421; }", addr, keyPair(fallback))
	line("server { listen %s:80 default_server; return 421; }", addr)
	for _, h := range hosts {
		at := cmp.Or(h.addr, addr)
		names := strings.Join(h.names, " ")
		line("server {\nlisten %s:443 ssl http2;\nserver_name %s;", at, names)
		for _, cert := range h.certs {
			line("%s", keyPair(cert))
		}
		line("%s\n}", strings.Join(h.https, "\n"))
		if h.http != nil {
			line("server {\nlisten %s:80;\nserver_name %s;\n%s\n}", at, names, strings.Join(h.http, "\n"))
		}
	}
	line("}")
	write(t, filepath.Join(dir, "nginx.conf"), conf.String())
	write(t, filepath.Join(dir, "temp", "empty"), "") // nginx makes the directories, but not their parent

	n := &nginx{accessLog: accessLog}
	n.daemon = startDaemon(t, dir, nginxProgram,
		"-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr", "-g", "daemon off;")
	n.ready(t, func() error {
		conn, err := net.Dial("tcp", net.JoinHostPort(addr, "443"))
		if err == nil {
			conn.Close()
		}
		return err
	})
	return n
}

func keyPair(file string) string {
	return fmt.Sprintf("ssl_certificate %s; ssl_certificate_key %s;", file, file)
}

// requests returns the requests so far, one a line.
func (n *nginx) requests(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(n.accessLog)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
