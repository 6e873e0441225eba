package fetch

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
)

// headerLimit bounds, in octets, the header of an answer, with those of the interim
// answers before it. RFC 8461 names no limit.
const headerLimit = 64 << 10

// request asks for the policy file of the host that it is formatted with, in
// HTTP/1.1: HTTP/2 would take a preface, settings and a table of header fields to
// get one small file. RFC 8461, Section 3.3: "HTTP caching MUST NOT be used", not
// by a cache on the way either.
//
// A policy host is asked once a day at most: a connection kept would only be a
// socket kept.
const request = "GET " + path + " HTTP/1.1\r\n" +
	"Host: %s\r\n" +
	"User-Agent: " + userAgent + "\r\n" +
	"Accept-Encoding: gzip\r\n" +
	"Cache-Control: " + cacheControl + "\r\n" +
	"Connection: close\r\n\r\n"

// exchange asks host on conn, a connection for nothing else, and returns the answer.
//
// An http.Transport would do the same in three goroutines that hand the answer over,
// at a tenth of the cost of a Get; and it connects in the background and with a
// context of its own, so that a handshake that never ends would outlive the Get.
func exchange(conn net.Conn, host string) (*http.Response, error) {
	if _, err := fmt.Fprintf(conn, request, host); err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: conn, N: headerLimit}
	r := bufio.NewReader(limited)
	// net/http passes over a Transfer-Encoding in HTTP/1.0, so that the sizes of
	// the chunks would be part of the body. For a single answer the versions do not
	// differ otherwise.
	if version, _ := r.Peek(len("HTTP/1.0")); string(version) == "HTTP/1.0" {
		r.Discard(len(version))
		r = bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1"), r))
	}
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil && limited.N == 0 {
			return nil, fmt.Errorf("the header is longer than %d bytes", headerLimit)
		}
		if err != nil {
			return nil, err
		}
		if interim := resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols; interim {
			continue
		}
		if !resp.ProtoAtLeast(1, 1) {
			return nil, refuse("the answer is in %s", quote(resp.Proto))
		}
		if name := hidden(resp.Header); name != "" {
			return nil, refuse("there is a space in the field name %s", quote(name))
		}
		limited.N = math.MaxInt64
		// RFC 9110, Section 8.4.1.3: x-gzip is equivalent.
		switch strings.ToLower(resp.Header.Get("Content-Encoding")) {
		case "gzip", "x-gzip":
			if resp.ContentLength != 0 {
				resp.Header.Del("Content-Encoding")
				resp.Body = &gunzip{ReadCloser: resp.Body}
			}
		}
		return resp, nil
	}
}

// hidden returns the name of a field that says where the body ends and that net/http
// does not know, because there is a space before its colon (RFC 9112, Section 5.1);
// "" if there is none. The sizes of chunks would be part of the body.
func hidden(header http.Header) string {
	for name := range header {
		known := strings.TrimRight(name, " ")
		if known != name && (strings.EqualFold(known, "Transfer-Encoding") || strings.EqualFold(known, "Content-Length")) {
			return name
		}
	}
	return ""
}

// gunzip is a body that is decoded as it is read, and of which nothing is read before.
type gunzip struct {
	io.ReadCloser
	z *gzip.Reader
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.z == nil {
		z, err := gzip.NewReader(g.ReadCloser)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF // nothing at all is no gzip
		}
		if err != nil {
			return 0, err
		}
		g.z = z
	}
	return g.z.Read(p)
}
