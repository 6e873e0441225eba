package mtaststest

import (
	"fmt"
	"strings"
)

// Replies are what an MX host says in place of its usual replies: to a command by its
// verb in upper case, to "." for the end of a message, and to "" for what it says
// unasked, when the connection, or the TLS session, has just been set up.
//
//	mtaststest.MX{Replies: mtaststest.Replies{
//		"EHLO": "250-mx.example.com\n250 starttls",
//		"MAIL": "530 5.7.0 Must issue a STARTTLS command first",
//	}}
//
// A reply is sent as it is written, with CRLF for each line end and at its end, so
// that it may also be one that no client understands. An empty reply says nothing, and
// the client waits. [HangUp] is another that is not said.
//
// The host does what it says. It takes a sender, a recipient or a message if the reply
// is 2yz, reads a message after 3yz to DATA, begins TLS after 220 to STARTTLS, and
// closes the connection after 421 (RFC 5321, Section 3.8). After a greeting that is not
// 2yz its usual reply is 503, to all but QUIT (Section 3.1).
type Replies map[string]string

// HangUp is a reply that closes the connection instead, without a word. In TLSReplies
// there is no close_notify before it: the connection was cut. So the reply to "" there
// is a connection cut after the handshake.
const HangUp = "hang up"

// check panics at a key that no client's command can match: the test around it would
// pass, or fail, for another reason than its author thinks.
func (r Replies) check() {
	for verb := range r {
		switch verb {
		case "", ".", "EHLO", "HELO", "STARTTLS", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT":
		default:
			panic(fmt.Sprintf(`mtaststest: a reply to %q: want "", "." or a verb such as "MAIL"`, verb))
		}
	}
}

// wire is a reply as it is sent.
func wire(reply string) string {
	lines := strings.ReplaceAll(reply, "\r\n", "\n")
	return strings.ReplaceAll(strings.TrimSuffix(lines, "\n"), "\n", "\r\n") + "\r\n"
}
