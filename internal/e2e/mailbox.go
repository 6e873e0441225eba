//go:build e2e

package e2e

import (
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A message is one that Postfix has delivered.
type message struct {
	by   string // the MX host that accepted it
	tls  string // "TLSv1.3"; "" for a session without TLS
	text string
}

var (
	receivedBy  = regexp.MustCompile(`\sby (\S+) \(Postfix\)|$`)
	receivedTLS = regexp.MustCompile(`\(using (TLSv[0-9.]+) with cipher|$`)
)

// mailbox returns the messages for an address. It first waits until Postfix has delivered
// all that it accepted: a message that is absent then was never accepted.
func (p *postfix) mailbox(t *testing.T, address string) []message {
	t.Helper()
	eventually(t, "Postfix has delivered its queue", p.queueEmpty)
	files, err := filepath.Glob(p.path("mail/all/new/*"))
	if err != nil {
		t.Fatal(err)
	}
	var found []message
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(strings.NewReader(string(text)))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if m.Header.Get("Delivered-To") == address {
			received := m.Header.Get("Received") // the first: Postfix's own
			found = append(found, message{
				by:   receivedBy.FindStringSubmatch(received)[1],
				tls:  receivedTLS.FindStringSubmatch(received)[1],
				text: string(text),
			})
		}
	}
	return found
}

// queueEmpty reads the queues in the order in which a message passes through them, so
// that it misses none on its way.
func (p *postfix) queueEmpty() error {
	for _, queue := range []string{"incoming", "active", "deferred"} {
		if files, _ := filepath.Glob(p.path("queue/" + queue + "/*")); files != nil {
			return fmt.Errorf("%q are still in the queue", files)
		}
	}
	return nil
}
