package fetch

import (
	"bufio"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// FuzzAnswer reads a policy from any octets that a host may send. An accepted answer
// follows the rules. The error for any other is fit for a log.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		sized,
		chunked + "5\r\nhello\r\n0\r\n\r\n",
		chunked + "5;x=\"y\"\r\nhello\r\n0\r\nX: y\r\n\r\n",
		head + "\r\n" + policy,
		head + "Content-Type: a/b; x=\"\\\",\", text/plain\r\nContent-Length: 5\r\n\r\nhello",
		head + "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Type: Text/Plain ; charset=\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n",
	} {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), &http.Request{Method: http.MethodGet})
		var body string
		if err == nil {
			defer resp.Body.Close()
			if body, err = readPolicy(resp); err == nil {
				err = checkEnd(resp, body)
			}
		}
		if err != nil {
			checkMessage(t, newError(host, err))
			return
		}
		zipped := strings.HasSuffix(strings.ToLower(resp.Header.Get("Content-Encoding")), "gzip")
		kind := strings.ToLower(strings.Join(resp.Header["Content-Type"], ","))
		switch {
		case resp.StatusCode != 200,
			len(body) > 65536,
			!strings.Contains(answer, body) && len(resp.TransferEncoding) == 0 && !zipped,
			!strings.Contains(kind, "text/plain") && strings.Trim(kind, " \t,") != "" && !strings.HasPrefix(strings.TrimLeft(kind, " \t,"), ";"):
			t.Errorf("%q was accepted from %q", body, answer)
		}
	})
}

// checkMessage checks what the documentation of [Error] says about its text.
func checkMessage(t *testing.T, err *Error) {
	t.Helper()
	if text := err.Error(); len(text) > 600 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("the message has %d bytes: %.700q", len(text), text)
	}
	if err.Err == nil {
		t.Errorf("%#v", err)
	}
}

// FuzzMessage puts any text where untrusted text could be.
func FuzzMessage(f *testing.F) {
	for _, text := range []string{"", "plain", "\x1b[2J\r\n\x00", "\u202e\u2028\U000e0001", "\xff\xfe", strings.Repeat("\x1b", 1000)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkMessage(t, newError(host, errors.New(text)))
		checkMessage(t, newError(text, refuse(RefusedMediaType, "the media type is %+.80q", text)))
	})
}

// FuzzHost checks that an accepted name is the host in the URL and nothing else.
func FuzzHost(f *testing.F) {
	for _, name := range []string{host, "a", "a_b.c-d", "127.0.0.1", "127.1", "0x7f.1", "::1", "a:443", "a/b", "a@b", "a%2eb", "", ".", "a..b"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkHost(name) != nil {
			return
		}
		u, err := url.Parse("https://" + name + "/.well-known/mta-sts.txt")
		if err != nil || u.Host != name || u.Hostname() != name || u.Port() != "" || u.Path != "/.well-known/mta-sts.txt" || u.User != nil || u.RawQuery != "" {
			t.Errorf("%q became %#v, %v", name, u, err)
		}
		if _, err := netip.ParseAddr(name); err == nil || len(name) > 253 || name != strings.ToLower(name) {
			t.Errorf("%q was accepted as a name", name)
		}
	})
}

// FuzzGuard compares the result for an address with the properties that package netip
// reports, and with the result for other forms of the address.
func FuzzGuard(f *testing.F) {
	for _, network := range notPublic {
		f.Add(network.prefix.Addr().AsSlice())
		f.Add(network.prefix.Addr().Prev().AsSlice())
	}
	f.Add(public.AsSlice())
	f.Fuzz(func(t *testing.T, octets []byte) {
		addr, ok := netip.AddrFromSlice(octets)
		if !ok {
			return
		}
		good := guard{}.check(addr) == nil
		if known := addr.Unmap(); good && (!known.IsGlobalUnicast() || known.IsPrivate() || known.IsLoopback()) {
			t.Errorf("%v passes", addr)
		}
		everything := guard{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		if err := everything.check(addr); err != nil {
			t.Errorf("%v is refused though it is allowed: %v", addr, err)
		}
		if !addr.Is4() {
			return
		}
		four := addr.As4()
		for prefix, same := range map[netip.Addr]bool{
			netip.MustParseAddr("::ffff:0:0"): true,
			netip.MustParseAddr("64:ff9b::"):  true,
			netip.MustParseAddr("::"):         false,
			netip.MustParseAddr("2002::"):     false,
		} {
			six := prefix.As16()
			copy(six[12:], four[:])
			wrapped := netip.AddrFrom16(six)
			if got := (guard{}).check(wrapped) == nil; got != (good && same) {
				t.Errorf("%v passes: %v; %v: %v", wrapped, got, addr, good)
			}
		}
	})
}
