package fetch

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// sizeLimit is in bytes after decoding. RFC 8461, Section 3.3: "a suggested
// maximum policy size 64 kilobytes".
const sizeLimit = 64 << 10

// readPolicy returns the body of resp if resp is an answer that can be a
// policy file. What it refuses is an *Error of KindAnswer.
func readPolicy(resp *http.Response) (string, error) {
	// RFC 8461, Section 3.3: "Policies fetched via HTTPS are only valid if the
	// HTTP response code is 200 (OK). HTTP 3xx redirects MUST NOT be
	// followed".
	if resp.StatusCode != http.StatusOK {
		hint := ""
		if resp.StatusCode/100 == 3 {
			hint = ", and redirects are not followed"
		}
		return "", refuse("the status is %d, not 200%s", resp.StatusCode, hint)
	}
	// RFC 8461, Section 3.2: the media type is text/plain, lest whoever may
	// upload a picture to a host could publish a policy there. A host that
	// states none makes no such promise of something else.
	if mediaType := mediaType(resp.Header); mediaType != "" && !strings.EqualFold(mediaType, "text/plain") {
		return "", refuse("the media type is %s, not text/plain", quote(mediaType))
	}
	// The transport asks for gzip and decodes it by itself. What is left was
	// not asked for.
	if coding := resp.Header.Get("Content-Encoding"); !plain(coding) {
		return "", refuse("the content coding is %s, which was not asked for", quote(coding))
	}
	if resp.Body == nil {
		return "", nil
	}
	// A body is refused for its length, never cut: the beginning of a policy
	// is another policy. The limit is on what was decoded, so that a small
	// body that unfolds to gigabytes costs no more than another.
	body, err := io.ReadAll(io.LimitReader(resp.Body, sizeLimit+1))
	if err != nil {
		return "", fmt.Errorf("read the body: %w", err)
	}
	if len(body) > sizeLimit {
		return "", refuse("the body is longer than %d bytes", sizeLimit)
	}
	return string(body), nil
}

// redirected returns the URL that resp is the answer for, if a transport of the
// caller's has gone elsewhere than asked, and else "".
func redirected(resp *http.Response, asked *url.URL) string {
	if resp.Request == nil || resp.Request.URL == nil {
		return ""
	}
	if got := resp.Request.URL.String(); got != asked.String() {
		return got
	}
	return ""
}

// mediaType returns the media type without its parameters, which say nothing
// about the file and are sometimes malformed; "" if there is none.
//
// RFC 9110, Section 8.3, allows one, and names what a list of several comes from:
// a field that was added a second time. The last is what the administrator added.
func mediaType(header http.Header) (last string) {
	for _, list := range header.Values("Content-Type") {
		for list != "" {
			var member string
			member, list = cutMember(list)
			name, _, _ := strings.Cut(member, ";")
			if name = strings.Trim(name, " \t"); name != "" {
				last = name
			}
		}
	}
	return last
}

// cutMember cuts a list at its first comma outside a quoted string (RFC 9110,
// Sections 5.6.1 and 5.6.4).
func cutMember(list string) (first, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == ',' && !quoted:
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}

// plain reports whether a content coding leaves the body as it is. Only identity is
// one; but servers also say none, or put the charset here.
func plain(coding string) bool {
	switch strings.ToLower(coding) {
	case "", "identity", "none", "utf-8":
		return true
	}
	return false
}

// checkEnd makes sure that resp, an answer in HTTP/1 by a transport of the caller's,
// said where its body ends. The end of the connection does not say so: anyone on the
// way can bring it about, and what had come by then would pass for the whole. RFC
// 9112, Section 9.8, asks for a closure alert in that case, and a transport does not
// tell whether there was one: see [bounded].
func checkEnd(resp *http.Response, body string) error {
	// A body in gzip has an end of its own, which has been checked; nothing at
	// all has none.
	if resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 && !(resp.Uncompressed && body != "") {
		return refuse("the body has neither a length nor chunks, so that a part could pass for the whole")
	}
	return nil
}
