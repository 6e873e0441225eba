package mtaststest_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

func TestHostsThatListenHaveTheirOwnMailboxes(t *testing.T) {
	w := mtaststest.NewWorld()
	defer w.Close()
	for _, name := range []string{"mx1.example.com", "mx2.example.com"} {
		addr, err := w.Listen(name, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if !addr.Addr().IsLoopback() || addr.Port() == 0 {
			t.Errorf("%s listens at %v", name, addr)
		}
		w.AddMX(name, mtaststest.MX{Replies: mtaststest.Replies{"": "220 " + name + " here"}}) // also works after Listen
		conn, err := net.Dial("tcp", addr.String())
		if got := say(connected(t, conn, err), "MAIL FROM:<>", "RCPT TO:<b@example.com>", "DATA", "Hello\r\n.", "QUIT"); len(got) != 6 ||
			got[0] != "220 "+name+" here" || got[5] != "221 2.0.0 Bye" {
			t.Errorf("%s says %q", name, got)
		}
		if mail := w.Mail(name); len(mail) != 1 || mail[0].Data != "Hello\n" || mail[0].To[0] != "b@example.com" || mail[0].TLS != nil {
			t.Errorf("%s has %+v", name, mail)
		}
	}
}

// Close ends waiting sessions and new ones, and closes the port.
func TestCloseLeavesNothing(t *testing.T) {
	w := mtaststest.NewWorld()
	w.AddMX(host, mtaststest.MX{})
	addr, err := w.Listen(host, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for range 8 {
		conn, err := net.Dial("tcp", addr.String())
		conn = connected(t, conn, err)
		clients.Go(func() {
			if _, err := io.Copy(io.Discard, conn); err != nil {
				if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
					t.Error("a session outlives Close")
				}
			}
		})
	}
	begin := time.Now()
	w.Close()
	clients.Wait()
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("Close took %v", took)
	}
	if conn, err := net.Dial("tcp", addr.String()); err == nil {
		conn.Close()
		t.Error("the port is open after Close")
	}
	if _, err := w.Listen(host, "127.0.0.1:0"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Listen after Close: %v", err)
	}
	w.Close()
}

func TestListenSaysThatAnAddressIsTaken(t *testing.T) {
	w := mtaststest.NewWorld()
	defer w.Close()
	addr, err := w.Listen(host, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Listen("mx2.example.com", addr.String()); err == nil {
		t.Error("two hosts listen at one address")
	}
}
