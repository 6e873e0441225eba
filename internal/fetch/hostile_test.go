package fetch

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	head    = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	chunked = head + "Transfer-Encoding: chunked\r\n\r\n"
)

// sized is a valid answer.
var sized = head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(policy), policy)

// getSent does a Get from a server that reads a request and then calls send. It must end
// long before the time limit of a minute.
func getSent(t *testing.T, send func(w io.Writer)) (string, error) {
	t.Helper()
	server := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		send(conn)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	body, err := newClient(addrOf(server)).Get(ctx, host)
	if ctx.Err() != nil {
		t.Errorf("only its context ended the Get: %v", err)
	}
	return body, err
}

// endless writes first, and then again until the client closes.
func endless(first, again string) func(io.Writer) {
	block := []byte(strings.Repeat(again, max(1, 8192/len(again))))
	return func(w io.Writer) {
		io.WriteString(w, first)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
}

// wantRefused checks that a Get failed as kind, with an error that is fit for a log.
func wantRefused(t *testing.T, body string, err error, kind Kind) {
	t.Helper()
	wantError(t, body, err, kind, "")
	if err == nil {
		return
	}
	if text := err.Error(); len(text) > 600 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("the message has %d bytes: %.700q", len(text), text)
	}
}

func TestAMalformedAnswerIsRefused(t *testing.T) {
	length := func(fields string) string { return head + fields + "\r\n\r\n" + policy }
	for name, test := range map[string]struct {
		answer string
		kind   Kind
	}{
		"HTTP/0.9":                      {"<pre>" + policy, KindTransport},
		"the preface of HTTP/2":         {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", KindTransport},
		"HTTP/0.9 in a status line":     {"HTTP/0.9 200 OK\r\n\r\n" + policy, KindAnswer},
		"HTTP/1.0 behind HTTP/1.1":      {"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", KindAnswer},
		"another protocol":              {"ICY 200 OK\r\n\r\n" + policy, KindTransport},
		"a version that is none":        {"HTTP/1.x 200 OK\r\n\r\n" + policy, KindTransport},
		"a status of one digit":         {"HTTP/1.1 2 OK\r\n\r\n", KindTransport},
		"a status of four digits":       {"HTTP/1.1 2000 OK\r\n\r\n", KindTransport},
		"a status with a sign":          {"HTTP/1.1 +20 OK\r\n\r\n", KindAnswer},
		"a status below zero":           {"HTTP/1.1 -20 OK\r\n\r\n", KindTransport},
		"a status of 000":               {"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n", KindAnswer},
		"a status that no one knows":    {"HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n", KindAnswer},
		"another protocol from here on": {"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + policy, KindAnswer},
		"a status line of a megabyte":   {"HTTP/1.1 200 " + strings.Repeat("O", 1<<20) + "\r\n\r\n", KindAnswer},
		"a status line and nothing":     {"HTTP/1.1 200 OK\n", KindTransport},
		"only line ends":                {"\r\n\r\n\r\n\r\n", KindTransport},

		"a NUL in a field":           {length("X: a\x00b"), KindTransport},
		"a NUL in a name":            {length("X\x00: a"), KindTransport},
		"an escape in a name":        {length("\x1b[2J: a"), KindTransport},
		"a space in a name":          {length("X Y: a\r\nContent-Length: -1"), KindTransport},
		"a space before the colon":   {length("Content-Length : 66"), KindAnswer}, // net/http ignores the field
		"chunks that are hidden":     {length("transfer-encoding  : chunked"), KindAnswer},
		"chunks that are half seen":  {length("Content-Length: 20\r\nTransfer-Encoding : chunked"), KindAnswer},
		"a field without a name":     {length(": a"), KindTransport},
		"a field without a colon":    {length("X"), KindTransport},
		"a first field that is bent": {"HTTP/1.1 200 OK\r\n X: a\r\n\r\n" + policy, KindTransport},

		"a negative length":            {length("Content-Length: -1"), KindTransport},
		"a length with a sign":         {length("Content-Length: +66"), KindTransport},
		"a length in hexadecimal":      {length("Content-Length: 0x42"), KindTransport},
		"a length that is a list":      {length("Content-Length: 66, 66"), KindTransport},
		"an empty length":              {length("Content-Length: "), KindTransport},
		"two lengths":                  {length("Content-Length: 10\r\nContent-Length: 66"), KindTransport},
		"a length beyond int64":        {length("Content-Length: 99999999999999999999"), KindTransport},
		"a length of exabytes":         {length("Content-Length: 9223372036854775807"), KindTransport},
		"a coding of transfer unknown": {length("Transfer-Encoding: gzip"), KindTransport},
		"two codings of transfer":      {length("Transfer-Encoding: gzip, chunked"), KindTransport},
		"chunked twice":                {length("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), KindTransport},

		"a chunk beyond int64":         {chunked + "ffffffffffffffff\r\n" + policy, KindTransport},
		"a chunk of 17 digits":         {chunked + "10000000000000000\r\n" + policy, KindTransport},
		"a chunk of a negative length": {chunked + "-1\r\n" + policy, KindTransport},
		"a chunk without a length":     {chunked + "\r\n" + policy, KindTransport},
		"a chunk in C's hexadecimal":   {chunked + "0x42\r\n" + policy + "\r\n0\r\n\r\n", KindTransport},
		"a chunk longer than it says":  {chunked + "5\r\n" + policy + "\r\n0\r\n\r\n", KindTransport},
		"a chunk shorter than it says": {chunked + "fff\r\n" + policy + "\r\n0\r\n\r\n", KindTransport},
		"chunks without an end":        {chunked + fmt.Sprintf("%x\r\n%s\r\n", len(policy), policy), KindTransport},
		"an extension of 5000 octets":  {chunked + "5;" + strings.Repeat("x", 5000) + "\r\nhello\r\n0\r\n\r\n", KindTransport},
		"a trailer that is none":       {chunked + "5\r\nhello\r\n0\r\nX\x00\r\n\r\n", KindTransport},
		"a trailer of a length":        {chunked + "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := getSent(t, func(w io.Writer) { io.WriteString(w, test.answer) })
			if test.kind == 0 {
				if err != nil || body != "hello" {
					t.Errorf("got %q, %v", body, err)
				}
				return
			}
			wantRefused(t, body, err, test.kind)
		})
	}
}

// An attacker who can write into one answer can append another. Only the first is read.
func TestASecondAnswerIsNotRead(t *testing.T) {
	body, err := getSent(t, func(w io.Writer) {
		io.WriteString(w, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"+sized)
	})
	wantError(t, body, err, KindAnswer, "the status is 404")
	body, err = getSent(t, func(w io.Writer) {
		io.WriteString(w, sized+strings.Replace(sized, "enforce", "none", 1))
	})
	wantPolicy(t, body, err)
}

// An endless answer is read only until it can no longer be a policy.
func TestAnEndlessAnswerIsRefused(t *testing.T) {
	zeros := string(zipped(make([]byte, 1<<20), 1))
	for name, test := range map[string]struct {
		send func(io.Writer)
		kind Kind
	}{
		"a status line":               {endless("HTTP/1.1 200 O", "K"), KindAnswer},
		"a field":                     {endless(head+"X: ", "x"), KindAnswer},
		"a field with control octets": {endless(head+"X: ", "\x1b"), KindAnswer},
		"fields":                      {endless(head, "X: x\r\n"), KindAnswer},
		"a field over many lines":     {endless(head+"X: x\r\n", " x\r\n"), KindAnswer},
		"fields of the shortest kind": {endless(head, "X:\n"), KindAnswer},
		"lengths":                     {endless(head, "Content-Length: 66\r\n"), KindAnswer},
		"interim answers":             {endless("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), KindAnswer},
		"interim answers in short":    {endless("", "HTTP/1.1 100 \n\n"), KindAnswer},
		"a body of a great length":    {endless(head+"Content-Length: 9223372036854775807\r\n\r\n", "#"), KindAnswer},
		"a body without a length":     {endless(head+"\r\n", "#"), KindAnswer},
		"a chunk":                     {endless(chunked+"7fffffffffffffff\r\n", "#"), KindAnswer},
		"chunks":                      {endless(chunked, "10\r\n################\r\n"), KindAnswer},
		"chunks of one octet":         {endless(chunked, "1\r\n#\r\n"), KindAnswer},
		"chunks with extensions":      {endless(chunked, "1;"+strings.Repeat("x", 1000)+"\r\n#\r\n"), KindTransport},
		"the length of a chunk":       {endless(chunked, "0"), KindTransport},
		"an extension":                {endless(chunked+"1;", "x"), KindTransport},
		"trailers":                    {endless(chunked+"5\r\nhello\r\n0\r\n", "X: x\r\n"), KindTransport},
		"a trailer":                   {endless(chunked+"5\r\nhello\r\n0\r\nX: ", "x"), KindTransport},
		"gzip":                        {endless(head+"Content-Encoding: gzip\r\n\r\n", zeros), KindAnswer},
		"the name of a file in gzip":  {endless(head+"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff", "x"), KindTransport},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			body, err := getSent(t, test.send)
			runtime.ReadMemStats(&after)
			wantRefused(t, body, err, test.kind)
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 8<<20 {
				t.Errorf("%d bytes of memory", spent)
			}
		})
	}
}

// An answer can go on without adding to the policy. It is bounded too, for a Get has to
// decrypt and decode all that it reads.
func TestAGetReadsABoundedNumberOfOctets(t *testing.T) {
	octets := func(text string) func(io.Writer) {
		return func(w io.Writer) {
			for i := range text {
				if _, err := io.WriteString(w, text[i:i+1]); err != nil {
					return
				}
			}
		}
	}
	zip := head + "Content-Encoding: gzip\r\n\r\n"
	// Eight blocks, each with Huffman tables of its own that have a code for the
	// end of the block and for nothing else (RFC 1951, Section 3.2.7). To set up
	// the tables is the most work that a few octets can cause in a decoder.
	tables, err := hex.DecodeString("04c081000000000090ff6b100007020000000040feaf41001c080000000000f9bf060170200000000000e4ff1a" +
		"04c081000000000090ff6b100007020000000040feaf41001c080000000000f9bf060170200000000000e4ff1a")
	if err != nil {
		t.Fatal(err)
	}
	begun := zip + "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
	for name, test := range map[string]struct {
		send func(io.Writer)
		kind Kind
	}{
		"records of one octet":           {octets(head + "Content-Length: 65536\r\n\r\n" + strings.Repeat("#", 65536)), KindAnswer},
		"chunks in records of one octet": {octets(chunked + strings.Repeat("1;xxxxxxxxxxxx\r\n#\r\n", 65536)), KindAnswer},
		"fields in records of one octet": {octets(head + strings.Repeat("X: x\r\n", 8000)), KindAnswer},
		"gzip of nothing":                {endless(zip, string(zipped(nil, 1))), KindAnswer},
		"gzip of no blocks":              {endless(begun, "\x00\x00\x00\xff\xff"), KindAnswer},
		"gzip of tables":                 {endless(begun, string(tables)), KindAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				test.send(conn)
			})
			client := newClient(addrOf(server))
			connect := client.dialer.connect
			var read atomic.Int64
			client.dialer.connect = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := connect(ctx, network, address)
				return counting{conn, &read}, err
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			body, err := client.Get(ctx, host)
			wantRefused(t, body, err, test.kind)
			if test.kind == KindAnswer {
				wantError(t, body, err, KindAnswer, "more than 81920 bytes in all")
			}
			if n := read.Load(); n > 81920 {
				t.Errorf("%d octets were read", n)
			}
		})
	}
}

// counting counts the octets that are read.
type counting struct {
	net.Conn
	read *atomic.Int64
}

func (c counting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// An answer may be truncated at any octet. The rest is never accepted.
func TestAnAnswerTruncatedAnywhereIsRefused(t *testing.T) {
	packed := zipped([]byte(policy), 1)
	for name, answer := range map[string]string{
		"with a length": sized,
		"in chunks":     chunked + fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", 10, policy[:10], len(policy)-10, policy[10:]),
		"in gzip":       head + "Content-Encoding: gzip\r\n\r\n" + string(packed),
		"in gzip, with a length": head + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s",
			len(packed), packed),
	} {
		t.Run(name, func(t *testing.T) {
			cut := 0
			server := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				io.WriteString(conn, answer[:cut])
			})
			client := newClient(addrOf(server))
			for ; cut < len(answer); cut++ {
				body, err := client.Get(t.Context(), host)
				if _, ok := errors.AsType[*Error](err); !ok {
					t.Errorf("cut to %d of %d: got %q, %v", cut, len(answer), body, err)
				}
			}
			body, err := client.Get(t.Context(), host)
			wantPolicy(t, body, err)
		})
	}
}

func TestDamagedGzipIsRefused(t *testing.T) {
	zip := head + "Content-Encoding: gzip\r\n\r\n"
	packed := string(zipped([]byte(policy), 1))
	last := len(packed) - 1
	for name, answer := range map[string]string{
		"another length":     zip + packed[:last] + string(packed[last]+1),
		"another checksum":   zip + packed[:last-7] + string(packed[last-7]^1) + packed[last-6:],
		"junk behind it":     zip + packed + "junk",
		"a member cut off":   zip + packed + packed[:last],
		"another method":     zip + packed[:2] + "\x07" + packed[3:],
		"a reserved block":   zip + packed[:10] + "\x07" + packed[11:],
		"not gzip but zlib":  zip + "\x78\x9c" + packed[2:],
		"a distance too far": zip + packed[:10] + "\x03\x02\x00",
	} {
		t.Run(name, func(t *testing.T) {
			body, err := getSent(t, func(w io.Writer) { io.WriteString(w, answer) })
			wantRefused(t, body, err, KindTransport)
		})
	}
}

// A body that decodes to gzip is not decoded again.
func TestGzipIsDecodedOnce(t *testing.T) {
	once := zipped([]byte(policy), 1)
	body, err := getSent(t, func(w io.Writer) {
		io.WriteString(w, head+"Content-Encoding: gzip\r\n\r\n")
		z := gzip.NewWriter(w)
		z.Write(once)
		z.Close()
	})
	if err != nil || body != string(once) {
		t.Errorf("got %q, %v", body, err)
	}
}
