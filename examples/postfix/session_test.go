package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// startSession serves one end of a pipe, and returns the other and how the session ended.
func startSession(answer answerer) (net.Conn, *session, <-chan error) {
	ours, theirs := net.Pipe()
	s := newSession(ours, answer)
	ended := make(chan error, 1)
	go func() { ended <- s.serve() }()
	return theirs, s, ended
}

func echo(_ context.Context, b []byte, query string) []byte { return append(b, "OK "+query...) }

// readReply reads a reply of any length.
func readReply(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	length, err := r.ReadString(':')
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range strings.TrimSuffix(length, ":") {
		n = 10*n + int(c-'0')
	}
	text := make([]byte, n+1)
	if _, err := io.ReadFull(r, text); err != nil || text[n] != ',' {
		t.Fatalf("%q, %v", text, err)
	}
	return string(text[:n])
}

func TestSessionAnswersInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, ended := startSession(echo)
		// 32 queries in one write, the last only half: the replies to the others come.
		go io.WriteString(conn, strings.Repeat("1:a,1:b,", 16)+"3:c")
		r := bufio.NewReader(conn)
		for i := range 32 {
			if got, want := readReply(t, r), "OK "+"ab"[i%2:i%2+1]; got != want {
				t.Fatalf("reply %d is %q, want %q", i, got, want)
			}
		}
		go io.WriteString(conn, "de,")
		if got := readReply(t, r); got != "OK cde" {
			t.Error(got)
		}
		conn.Close()
		if err := <-ended; err != io.EOF {
			t.Error(err)
		}
	})
}

func TestSessionEndsAtItsLimits(t *testing.T) {
	for what, c := range map[string]struct {
		behave func(conn net.Conn)
		after  time.Duration
	}{
		"idle": {func(net.Conn) {}, idleLimit},
		"half a netstring": {func(conn net.Conn) {
			io.WriteString(conn, "19:mta-sts exa")
		}, queryLimit},
		"an octet each second": {func(conn net.Conn) {
			for _, c := range "19:mta-sts example.com," {
				if _, err := conn.Write([]byte{byte(c)}); err != nil {
					return
				}
				time.Sleep(time.Second) // in the bubble's time
			}
		}, queryLimit},
		"a reader that does not read": {func(conn net.Conn) {
			io.WriteString(conn, "1:a,")
		}, writeLimit},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				conn, _, ended := startSession(echo)
				defer conn.Close()
				behaved := make(chan struct{})
				go func() { c.behave(conn); close(behaved) }()
				err := <-ended
				if took := time.Since(start); took != c.after || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("ended after %v, want %v: %v", took, c.after, err)
				}
				conn.Close()
				<-behaved
			})
		})
	}
}

func TestSessionRefusesAHugeLengthAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		conn, _, ended := startSession(echo)
		defer conn.Close()
		go io.WriteString(conn, "1000000000:aaaa")
		if err := <-ended; err != errNotQuery || time.Since(start) > 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// The time of an answer does not count for the query behind it.
func TestSlowAnswersLeaveTimeForTheNextQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, ended := startSession(func(_ context.Context, b []byte, query string) []byte {
			time.Sleep(2 * queryLimit) // in the bubble's time: a look-up
			return append(b, "OK "+query...)
		})
		go func() {
			io.WriteString(conn, "1:a,3:b")
			io.WriteString(conn, "cd,")
		}()
		r := bufio.NewReader(conn)
		for _, want := range []string{"OK a", "OK bcd"} {
			if got := readReply(t, r); got != want {
				t.Error(got)
			}
		}
		conn.Close()
		<-ended
	})
}

// A session that drains answers the query that it is at, and the next that comes soon.
func TestSessionDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, s, ended := startSession(func(_ context.Context, b []byte, query string) []byte {
			time.Sleep(20 * time.Second) // in the bubble's time: a look-up
			return append(b, "OK "+query...)
		})
		defer conn.Close()
		go io.WriteString(conn, "1:a,")
		synctest.Wait()
		s.drain()
		r := bufio.NewReader(conn)
		if got := readReply(t, r); got != "OK a" {
			t.Error(got)
		}
		go io.WriteString(conn, "1:b,")
		if got := readReply(t, r); got != "OK b" {
			t.Error(got)
		}
		last := time.Now()
		<-ended
		if took := time.Since(last); took != drainLimit {
			t.Errorf("ended after %v, want %v", took, drainLimit)
		}
	})
}
