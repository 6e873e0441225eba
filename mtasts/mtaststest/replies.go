package mtaststest

import (
	"fmt"
	"strings"
)

// Replies replace the usual replies of an MX host. A key is the verb of a command in upper
// case, "." for the end of a message, or "" for the beginning of the connection or of the TLS
// session. At the beginning of a TLS session the host usually sends nothing.
//
//	mtaststest.MX{Replies: mtaststest.Replies{
//		"EHLO": "250-mx.example.com\n250 starttls",
//		"MAIL": "530 5.7.0 Must issue a STARTTLS command first",
//	}}
//
// The host sends a reply as it is, with CRLF for each line end and at the end. It need not be
// valid SMTP. If the reply is empty, the host sends nothing and the client waits. [HangUp]
// closes the connection.
//
// The host acts on its reply. It accepts a sender, a recipient or a message if the reply is
// 2yz, reads a message after 3yz to DATA, begins TLS after 220 to STARTTLS, and closes the
// connection after 421 (RFC 5321, Section 3.8). After a greeting that is not 2yz, its usual
// reply is 503 to all commands but QUIT (Section 3.1).
type Replies map[string]string

// HangUp as a reply closes the connection, and sends nothing. In TLSReplies the host sends no
// close_notify either. With the key "" it closes the connection right after the handshake.
const HangUp = "hang up"

// check panics if no command can match a key. Such a reply would never be sent, and a test with
// it would not test what its author thinks.
func (r Replies) check() {
	for verb := range r {
		switch verb {
		case "", ".", "EHLO", "HELO", "STARTTLS", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT":
		default:
			panic(fmt.Sprintf(`mtaststest: the key %q of Replies: want "", "." or a verb such as "MAIL"`, verb))
		}
	}
}

// wire returns a reply with CRLF line ends.
func wire(reply string) string {
	lines := strings.ReplaceAll(reply, "\r\n", "\n")
	return strings.ReplaceAll(strings.TrimSuffix(lines, "\n"), "\n", "\r\n") + "\r\n"
}
