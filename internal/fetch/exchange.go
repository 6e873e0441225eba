package fetch

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// wireLimit bounds what a host sends from its hello to the end of the file, in octets on
// the wire: the header, and what adds to neither header nor body, such as empty TLS
// records or gzip blocks without content. It has room for the largest file, the
// certificates and a header of usual size.
const wireLimit = 80 << 10

var errTooMuch = refuse(RefusedSize, "the host sends more than %d bytes in all", wireLimit)

// exchange sends req on conn, which serves for nothing else, and returns the policy file.
//
// An http.Transport needs three goroutines for this, which add a tenth to the cost of a
// Get. It also connects in the background and with a context of its own, so that a
// handshake that never ends would outlast the Get. HTTP/2 would add a preface and
// settings to the exchange of one small file.
func exchange(conn net.Conn, req *http.Request) (string, error) {
	req.Close = true // the next request to this host comes in a day
	req.Header.Set("Accept-Encoding", "gzip")
	if err := req.Write(conn); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	// net/http ignores Transfer-Encoding in HTTP/1.0, so that the sizes of the chunks
	// would be part of the body. For a single answer the versions do not differ
	// otherwise.
	if version, _ := r.Peek(len("HTTP/1.0")); string(version) == "HTTP/1.0" {
		r.Discard(len(version))
		r = bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1"), r))
	}
	for {
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			return "", err
		}
		if resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue // an interim answer
		}
		if !resp.ProtoAtLeast(1, 1) {
			return "", refuse(RefusedForm, "the answer is in %+.80q, not HTTP/1.1", resp.Proto)
		}
		if name := hidden(resp.Header); name != "" {
			return "", refuse(RefusedForm, "there is a space in the field name %+.80q", name)
		}
		body, err := readPolicy(resp)
		traceOf(req.Context()).answered(resp, body, err)
		return body, err
	}
}

// hidden returns the name of a field that says where the body ends and that net/http
// ignores, because there is a space before its colon (RFC 9112, Section 5.1). It returns
// "" if there is none.
func hidden(header http.Header) string {
	for name := range header {
		known := strings.TrimRight(name, " ")
		if known != name && (strings.EqualFold(known, "Transfer-Encoding") || strings.EqualFold(known, "Content-Length")) {
			return name
		}
	}
	return ""
}

// bounded is the connection below TLS. At most left octets can be read from it, and its
// end is an error. crypto/tls reports an io.EOF between two records as if the peer had
// sent close_notify, but an attacker on the path can cause one. As none comes from below,
// an io.EOF of the TLS session means that alert, which is authenticated (RFC 8446, Section
// 6.1).
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errTooMuch
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	if err == io.EOF {
		// crypto/tls turns a bare io.ErrUnexpectedEOF into io.EOF.
		err = fmt.Errorf("the connection ended without close_notify: %w", io.ErrUnexpectedEOF)
	}
	return n, err
}
