package fetch

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

var versions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

// closeNotify is the content of the alert (RFC 8446, Section 6).
const closeNotify = "\x01\x00"

// inRecords returns text in records of the maximum size.
func (s *sealer) inRecords(text string) (all []byte) {
	for part := range slices.Chunk([]byte(text), 16<<10) {
		all = append(all, s.record(recordData, part)...)
	}
	return all
}

// drain reads until the client closes, so that the server does not close first.
func (s *sealer) drain() { io.Copy(io.Discard, s.Conn) }

// RFC 9112, Section 6.3: a body with neither a length nor chunks ends with the
// connection. Section 9.8: it is whole if a closure alert came, and only then.
func TestRFC9112_9_8_ABodyWithoutALengthNeedsCloseNotify(t *testing.T) {
	const (
		limit = 65536
		start = head + "\r\n"
		old   = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n"
		zip   = head + "Content-Encoding: gzip\r\n\r\n"
	)
	fill := func(n int) string { return policy + strings.Repeat("#", n-len(policy)) }
	contents := map[string]struct{ answer, body string }{
		"empty":                  {start, ""},
		"short":                  {start + policy, policy},
		"short, HTTP/1.0":        {old + policy, policy},
		"the connection is kept": {head + "Connection: keep-alive\r\n\r\n" + policy, policy},
		"gzip":                   {zip + string(zipped([]byte(policy), 1)), policy},
		"gzip of two members":    {zip + string(zipped([]byte(policy), 2)), policy + policy},
		"64 KiB with the header": {start + fill(limit-len(start)), fill(limit - len(start))}, // full records
		"64 KiB":                 {start + fill(limit), fill(limit)},
		"one octet more":         {start + fill(limit+1), ""},
	}
	endings := map[string]struct {
		end   func(s *sealer, data []byte)
		whole bool
	}{
		"close_notify, then FIN": {func(s *sealer, data []byte) {
			s.Write(data)
			s.Write(s.record(recordAlert, []byte(closeNotify)))
		}, true},
		"close_notify with the data": {func(s *sealer, data []byte) {
			s.Write(append(data, s.record(recordAlert, []byte(closeNotify))...))
		}, true},
		"close_notify without FIN": {func(s *sealer, data []byte) {
			s.Write(append(data, s.record(recordAlert, []byte(closeNotify))...))
			s.drain()
		}, true},
		"close_notify behind an empty record": {func(s *sealer, data []byte) {
			s.Write(append(data, s.records(recordData, "")...))
			s.Write(s.record(recordAlert, []byte(closeNotify)))
		}, true},
		"FIN between two records": {func(s *sealer, data []byte) { s.Write(data) }, false},
		"FIN in a record of data": {func(s *sealer, data []byte) { s.Write(data[:len(data)-1]) }, false},
		"FIN in the head of a record": {func(s *sealer, data []byte) {
			s.Write(append(data, s.record(recordAlert, []byte(closeNotify))[:4]...))
		}, false},
		"FIN in the alert": {func(s *sealer, data []byte) {
			alert := s.record(recordAlert, []byte(closeNotify))
			s.Write(append(data, alert[:len(alert)-1]...))
		}, false},
		"RST": {func(s *sealer, data []byte) {
			s.Write(data)
			s.Conn.(*net.TCPConn).SetLinger(0)
		}, false},
		"another alert": {func(s *sealer, data []byte) {
			s.Write(append(data, s.record(recordAlert, []byte("\x02\x50"))...))
		}, false},
		"user_canceled, then FIN": {func(s *sealer, data []byte) {
			s.Write(append(data, s.record(recordAlert, []byte("\x01\x5a"))...))
		}, false},
		"close_notify by someone on the way": {func(s *sealer, data []byte) {
			s.Write(append(data, plainRecord(recordAlert, []byte(closeNotify))...))
		}, false},
	}
	for _, version := range versions {
		for what, content := range contents {
			for how, ending := range endings {
				t.Run(tls.VersionName(version)+", "+what+", "+how, func(t *testing.T) {
					body, err := getAt(t, sealed(t, version, func(s *sealer) {
						ending.end(s, s.inRecords(content.answer))
					}))
					switch tooLong := len(content.answer) > limit+len(start); {
					case tooLong && ending.whole:
						wantError(t, body, err, KindAnswer, "longer than 65536 bytes")
					case tooLong && err != nil: // whichever comes first
					case !ending.whole:
						wantRefused(t, body, err, KindTransport)
					case err != nil || body != content.body:
						t.Errorf("got %d bytes, %v; want %d", len(body), err, len(content.body))
					}
				})
			}
		}
	}
}

// A truncated answer is never accepted, wherever its last record ends.
func TestABodyWithoutALengthIsRefusedIfTruncatedAnywhere(t *testing.T) {
	answer := head + "\r\n" + policy
	for _, version := range versions {
		for cut := 1; cut <= len(answer); cut++ {
			body, err := getAt(t, sealed(t, version, func(s *sealer) { s.Write(s.records(recordData, answer[:cut])) }))
			wantError(t, body, err, KindTransport, "")
		}
	}
}

// Users and reports must be able to tell a truncated connection from other failures.
func TestTheErrorSaysThatCloseNotifyIsMissing(t *testing.T) {
	for _, version := range versions {
		body, err := getAt(t, sealed(t, version, func(s *sealer) { s.Write(s.inRecords(head + "\r\n" + policy)) }))
		wantError(t, body, err, KindTransport, "without close_notify")
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v is no unexpected EOF", err)
		}
	}
}

// If the answer says where it ends, Get does not wait for the end of the session.
func TestALengthOrChunksNeedNoCloseNotify(t *testing.T) {
	for name, answer := range map[string]string{
		"a length":                sized,
		"a length, HTTP/1.0":      strings.Replace(sized, "HTTP/1.1", "HTTP/1.0", 1),
		"the same length twice":   head + strings.Repeat(fmt.Sprintf("Content-Length: %d\r\n", len(policy)), 2) + "\r\n" + policy,
		"chunks":                  chunked + inChunks(),
		"chunks, HTTP/1.0":        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + inChunks(),
		"chunks, and a length":    head + "Content-Length: 5\r\nTransfer-Encoding: Chunked\r\n\r\n" + inChunks(),
		"chunks, behind interim":  "HTTP/1.1 103 Early Hints\r\n\r\n" + chunked + inChunks(),
		"HTTP/2 in a status line": strings.Replace(sized, "HTTP/1.1", "HTTP/2.0", 1),
		"no reason phrase":        strings.Replace(sized, " OK", "", 1),
		"an odd reason phrase":    strings.Replace(sized, " OK", "  \x80\xff OK 404", 1),
		"lines that end in LF":    strings.ReplaceAll(sized, "\r\n", "\n"),
	} {
		for _, version := range versions {
			t.Run(tls.VersionName(version)+", "+name, func(t *testing.T) {
				body, err := getAt(t, sealed(t, version, func(s *sealer) { s.Write(s.inRecords(answer)) }))
				wantPolicy(t, body, err)
				body, err = getAt(t, sealed(t, version, func(s *sealer) { s.Write(s.inRecords(answer)); s.drain() }))
				wantPolicy(t, body, err)
			})
		}
	}
}

// inChunks is a body with a boundary of two chunks inside a pattern. A reader that treats
// the sizes of chunks as text gets a different policy.
func inChunks() string {
	i := strings.Index(policy, ".example")
	return fmt.Sprintf("%x\r\n%s\r\n%x;x=y\r\n%s\r\n0\r\nX: y\r\n\r\n", i, policy[:i], len(policy)-i, policy[i:])
}

// A handler of net/http can make it omit the length.
func TestANetHTTPServerMayOmitTheLength(t *testing.T) {
	for _, version := range versions {
		config := &tls.Config{Certificates: []tls.Certificate{goodCert()}, MinVersion: version, MaxVersion: version}
		server := serve(t, config, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Transfer-Encoding", "identity") // it is not sent
			publish(w, r)
			http.NewResponseController(w).Flush()
		})
		body, err := newClient(addrOf(server)).Get(t.Context(), host)
		wantPolicy(t, body, err)
	}
}
