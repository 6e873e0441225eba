package fetch

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// sizeLimit is in bytes after decoding. RFC 8461, Section 3.3: "a suggested maximum
// policy size 64 kilobytes".
const sizeLimit = 64 << 10

// readPolicy returns the body of resp if resp can be a policy file. For any other
// answer, the error has Refused set.
func readPolicy(resp *http.Response) (string, error) {
	// RFC 8461, Section 3.3: "Policies fetched via HTTPS are only valid if the HTTP
	// response code is 200 (OK). HTTP 3xx redirects MUST NOT be followed".
	if resp.StatusCode != http.StatusOK {
		return "", refuse(RefusedStatus, "the status is %d; it must be 200, without a redirect", resp.StatusCode)
	}
	// RFC 8461, Section 3.2: whoever may only upload a picture must not be able to
	// publish a policy. An answer without a media type is accepted.
	if mediaType := MediaType(resp.Header); mediaType != "" && !strings.EqualFold(mediaType, "text/plain") {
		return "", refuse(RefusedMediaType, "the media type is %+.80q, not text/plain", mediaType)
	}
	if resp.Body == nil {
		return "", nil
	}
	content := io.Reader(resp.Body)
	switch coding := resp.Header.Get("Content-Encoding"); strings.ToLower(coding) {
	case "", "identity", "none", "utf-8": // servers write all of these for no coding
	case "gzip", "x-gzip": // RFC 9110, Section 8.4.1.3: the two are equivalent
		z, err := gzip.NewReader(resp.Body)
		if err != nil {
			return "", fmt.Errorf("decode the body: %w", err)
		}
		content = z
	default:
		return "", refuse(RefusedForm, "the content coding is %+.80q, which was not asked for", coding)
	}
	// A longer body is refused, never truncated: the beginning of a policy is another
	// policy. The limit is on decoded bytes, so that no body unfolds to gigabytes.
	body, err := io.ReadAll(io.LimitReader(content, sizeLimit+1))
	if err != nil {
		return "", fmt.Errorf("read the body: %w", err)
	}
	if len(body) > sizeLimit {
		return "", refuse(RefusedSize, "the body is longer than %d bytes", sizeLimit)
	}
	return string(body), nil
}

// MediaType returns the media type without its parameters, or "" if there is none. RFC
// 9110, Section 8.3 allows one, and says that several come from a field that was added a
// second time. The last is the one that the administrator added.
func MediaType(header http.Header) (last string) {
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

// cutMember cuts a list at its first comma outside a quoted string (RFC 9110, Sections
// 5.6.1 and 5.6.4).
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

// checkEnd returns an error unless resp, an answer in HTTP/1 from Config.Transport, says
// where its body ends. An attacker on the path can end the connection, and what has come
// by then would pass for the whole. RFC 9112, Section 9.8 asks for a closure alert in
// that case, and a transport does not report whether there was one: see [bounded].
func checkEnd(resp *http.Response, body string) error {
	// The transport has verified the end of a body in gzip, if there was any.
	if resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 && !(resp.Uncompressed && body != "") {
		return refuse(RefusedForm, "the body has neither a length nor chunks, so that a part could pass for the whole")
	}
	return nil
}
