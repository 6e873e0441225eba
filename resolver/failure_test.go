package resolver

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// These errors of net come from a socket, the clock or the machine's files. A test cannot
// provoke them.
func TestFailure(t *testing.T) {
	const name = "mta-sts.example.com"
	open := t.Context()
	over, cancel := context.WithDeadline(open, time.Now())
	defer cancel()
	cancelled, cancel := context.WithCancel(open)
	cancel()
	closed := &net.DNSError{Err: "read udp 127.0.0.1:4711->127.0.0.1:53: use of closed network connection", Name: name + ".", Server: "net's", IsTemporary: true}
	slow := &net.DNSError{Err: "read udp 127.0.0.1:4711->127.0.0.1:53: i/o timeout", Name: name + ".", Server: "net's", IsTimeout: true, IsTemporary: true}

	for _, test := range []struct {
		what    string
		ctx     context.Context
		limited context.Context
		err     error
		want    net.DNSError
	}{
		{"a server is too slow for net", open, open, slow, net.DNSError{Err: "i/o timeout", Server: "net's", IsTimeout: true, IsTemporary: true}},
		{"a server refuses the connection", open, open, closed, net.DNSError{Err: closed.Err, Server: "net's", IsTemporary: true}},
		{"our limit closes the connection", open, over, closed, net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true}},
		{"the caller's deadline closes it", over, over, closed, net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true, UnwrapErr: context.DeadlineExceeded}},
		{"the caller closes it", cancelled, cancelled, closed, net.DNSError{Err: "operation was canceled", IsTemporary: true, UnwrapErr: context.Canceled}},
		{"the hosts file has the other family", open, open, &net.AddrError{Err: "no suitable address found", Addr: name + "."}, net.DNSError{Err: "no such host", IsNotFound: true}},
		{"anything else", open, open, errors.New("unforeseen"), net.DNSError{Err: "unforeseen"}},
	} {
		test.want.Name = name
		if got := failure(test.ctx, test.limited, test.err, name); *got != test.want {
			t.Errorf("%s:\ngot  %#v\nwant %#v", test.what, *got, test.want)
		}
	}
	if slow.Name != name+"." || closed.Name != name+"." {
		t.Error("an error that net may share was changed")
	}
}

// A socket with the deadline of ctx may report it before ctx does.
func TestEndOfIsExactAtTheDeadline(t *testing.T) {
	ctx := lateContext{t.Context()}
	if err := endOf(ctx); err != context.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

// A lateContext is past its deadline, but its timer has not fired.
type lateContext struct{ context.Context }

func (lateContext) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }
