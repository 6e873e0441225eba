package resolver

import (
	"context"
	"net"
	"time"
)

// The texts are those of package net, so that a log has one text for one failure.

func notFound(name string) *net.DNSError {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func serverFailure(name string) *net.DNSError {
	return &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
}

func refused(name string) *net.DNSError {
	return &net.DNSError{Err: "server misbehaving", Name: name}
}

func timedOut(name string) *net.DNSError {
	return &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true, IsTemporary: true}
}

// ended returns the error of a look-up whose ctx has ended, or nil if it has not.
func ended(ctx context.Context, name string) *net.DNSError {
	switch endOf(ctx) {
	case nil:
		return nil
	case context.DeadlineExceeded:
		err := timedOut(name)
		err.UnwrapErr = context.DeadlineExceeded
		return err
	}
	return &net.DNSError{Err: "operation was canceled", Name: name, IsTemporary: true, UnwrapErr: context.Canceled}
}

// endOf is ctx.Err, but exact at the deadline: a socket with the same deadline may time
// out a moment before the timer of ctx fires.
func endOf(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}
