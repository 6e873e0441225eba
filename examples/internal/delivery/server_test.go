package delivery_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
)

// A script is an SMTP server with fixed replies.
type script struct {
	// replies are its replies to a whole command, to a verb, to "." at the end of a message, and to "" at the
	// beginning. hangUp closes the connection. Without an entry the reply is the usual one.
	// After a 220 to STARTTLS the handshake follows, and inTLS replaces replies.
	replies, inTLS map[string]string
	tls            *tls.Config

	sessions, messages atomic.Int32 // begun; received completely
}

const hangUp = "hang up"

var usual = map[string]string{"": "220 ready", "STARTTLS": "220 go on", "DATA": "354 go on", "QUIT": "221 bye"}

func (s *script) serve(conn net.Conn) {
	defer func() { conn.Close() }()
	s.sessions.Add(1)
	in, replies := bufio.NewReader(conn), s.replies
	for verb := ""; ; {
		answer, told := replies[verb]
		if !told {
			answer = usual[verb]
		}
		switch answer {
		case hangUp:
			return
		case "":
			answer = "250 ok"
		}
		fmt.Fprintf(conn, "%s\r\n", answer)
		if verb == "STARTTLS" && answer == usual[verb] {
			secure := tls.Server(conn, s.tls)
			if secure.Handshake() != nil {
				return
			}
			conn, in, replies = secure, bufio.NewReader(secure), s.inTLS
		}
		line, err := in.ReadString('\n')
		if strings.HasPrefix(answer, "354") {
			for err == nil && line != ".\r\n" {
				line, err = in.ReadString('\n')
			}
		}
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		if verb, _, _ = strings.Cut(line, " "); replies[line] != "" {
			verb = line
		}
		if verb == "." {
			s.messages.Add(1)
		}
	}
}

// endless begins a greeting that does not end.
func endless(conn net.Conn) {
	defer conn.Close()
	line := "220-" + strings.Repeat("x", 60_000) + "\r\n"
	for {
		if _, err := io.WriteString(conn, line); err != nil {
			return
		}
	}
}
