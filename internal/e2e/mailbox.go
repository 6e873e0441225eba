//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A message is one that Postfix has delivered.
type message struct {
	by   string // the MX host that took it
	tls  string // "TLSv1.3"; "" for a session without TLS
	text string
}

var (
	receivedBy  = regexp.MustCompile(`\sby (\S+) \(Postfix\)`)
	receivedTLS = regexp.MustCompile(`\(using (TLSv[0-9.]+) with cipher`)
)

// mailbox returns the messages for an address. It first waits until Postfix
// has delivered all that it accepted, so that what is not there was never
// accepted.
func (p *postfix) mailbox(t *testing.T, address string) []message {
	t.Helper()
	eventually(t, "Postfix has delivered its queue", p.queueEmpty)
	_, domain, _ := strings.Cut(address, "@")
	files, err := filepath.Glob(p.path("mail", domain, "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var found []message
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if m.Header.Get("Delivered-To") != address {
			continue
		}
		received := m.Header.Get("Received") // the first: Postfix's own
		found = append(found, message{
			by:   submatch(receivedBy, received),
			tls:  submatch(receivedTLS, received),
			text: string(text),
		})
	}
	return found
}

// queueEmpty looks at the queues in the order in which a message goes through
// them, so that none is missed on its way.
func (p *postfix) queueEmpty() error {
	for _, queue := range []string{"incoming", "active", "deferred"} {
		err := filepath.WalkDir(p.path("queue", queue), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				return fmt.Errorf("%s is still in the queue", path)
			}
			return nil // a file or directory that has gone meanwhile
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func submatch(re *regexp.Regexp, s string) string {
	if m := re.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	return ""
}
