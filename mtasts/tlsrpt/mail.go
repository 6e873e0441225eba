package tlsrpt

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// Mail returns the report about a policy domain as a message (RFC 8460, Section 5.3): its
// header and body, with lines that end in CRLF. The addresses are in the form of
// [URI].Address; the submitter is the domain of ContactInfo. ReportID is a dot-atom of at
// most 64 octets. Anything else is an error, so that nothing can add a header field.
//
// The message still lacks its DKIM signature, which must cover TLS-Report-Domain,
// TLS-Report-Submitter and the whole body (Section 3). Two messages of one report to one
// address have the same Message-ID.
func (r *Report) Mail(from, to, domain string) ([]byte, error) {
	_, submitter, _ := strings.Cut(r.ContactInfo, "@")
	id := r.ReportID + "@" + submitter // Section 5.3: it has the form of a Message-ID
	for _, addr := range []string{from, to, r.ContactInfo, id} {
		if addr == "" || parseAddress(addr) != addr {
			return nil, fmt.Errorf("tlsrpt: no report can be mailed with the address or id %+.60q", addr)
		}
	}
	domain, err := sts.Name(domain)
	if err != nil {
		return nil, fmt.Errorf("tlsrpt: no report can be mailed: %w", err)
	}
	body, err := r.Gzip()
	if err != nil {
		return nil, err
	}
	var successes, failures uint64
	for _, p := range r.Policies {
		successes, failures = successes+p.Successes, failures+p.Failures
	}
	var b strings.Builder
	fmt.Fprintf(&b, message, from, to, time.Now().Format(time.RFC1123Z),
		sha256.Sum256([]byte(id+" "+to)), domain, submitter, id, r.Filename(submitter, domain),
		r.DateRange.Start.UTC().Format(time.RFC3339), r.DateRange.End.UTC().Format(time.RFC3339), successes, failures)
	text := base64.StdEncoding.EncodeToString(body)
	for ; len(text) > 76; text = text[76:] {
		b.WriteString(text[:76] + "\n")
	}
	b.WriteString(text + "\n--=_tlsrpt--\n")
	return []byte(strings.ReplaceAll(b.String(), "\n", "\r\n")), nil
}

// message is a report up to its data. "=_" stands in no line of the text and in no base64,
// so the boundary need not be random. TLS-Required: the report is delivered whatever ails
// the receiver's TLS (RFC 8460, Section 3; RFC 8689, Section 3). Auto-Submitted: no vacation
// notice answers it (RFC 3834, Section 5).
const message = `From: <%[1]s>
To: <%[2]s>
Date: %[3]s
Message-ID: <%.16[4]x@%[6]s>
Subject: Report Domain: %[5]s
 Submitter: %[6]s
 Report-ID: <%[7]s>
TLS-Report-Domain: %[5]s
TLS-Report-Submitter: %[6]s
TLS-Required: No
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: multipart/report; report-type="tlsrpt"; boundary="=_tlsrpt"

--=_tlsrpt
Content-Type: text/plain; charset=us-ascii

This is an aggregate TLS report from %[6]s
about mail sent to %[5]s
from %[9]s to %[10]s:
%[11]d sessions succeeded, %[12]d failed.

--=_tlsrpt
Content-Type: ` + MediaTypeGzip + `;
 name="%[8]s"
Content-Transfer-Encoding: base64
Content-Disposition: attachment;
 filename="%[8]s"

`
