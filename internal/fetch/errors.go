package fetch

import (
	"errors"
	"fmt"
	"strings"
)

// An Error says why a Get failed.
type Error struct {
	Host    string  // the policy host
	Refused Refusal // why the answer cannot be a policy file; empty if none came
	Err     error   // the cause, never nil
}

// A Refusal is what is wrong with the answer of a policy host.
type Refusal string

// The refusals.
const (
	RefusedStatus    Refusal = "status"     // not 200, or a transport has followed a redirect
	RefusedMediaType Refusal = "media-type" // not text/plain
	RefusedSize      Refusal = "size"       // more than 64 KiB, or too much around it
	RefusedForm      Refusal = "form"       // a version or coding that was not asked for, or an unknown end
)

// Error names the host and the cause, in little more than 512 bytes. It replaces what is
// not printable ASCII. The text of Err itself may be longer and hold any untrusted text.
func (e *Error) Error() string {
	const limit = 512
	text := "policy host " + e.Host + ": " + e.Err.Error()
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// newError is the Error for the failure err of host.
func newError(host string, err error) *Error {
	if refused, ok := errors.AsType[*Error](err); ok {
		return &Error{Host: host, Refused: refused.Refused, Err: refused.Err}
	}
	return &Error{Host: host, Err: err}
}

// refuse is the Error for an answer that cannot be a policy file.
func refuse(what Refusal, format string, args ...any) error {
	return &Error{Refused: what, Err: fmt.Errorf(format, args...)}
}
