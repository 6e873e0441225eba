package delivery_test

import (
	"errors"
	"testing"

	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// Which host, and how often, after each kind of answer from the first.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		name    string
		replies map[string]string
		want    error // nil: delivered
		second  bool  // to the second host
	}{
		{name: "takes it"},
		{name: "hangs up instead of a goodbye", replies: map[string]string{"QUIT": hangUp}},
		{"refuses the client", map[string]string{"": "554 no"}, nil, true},
		{"is busy", map[string]string{"": "421 later"}, nil, true},
		{"hangs up at once", map[string]string{"": hangUp}, nil, true},
		{"refuses the sender for now", map[string]string{"MAIL": "451 later"}, nil, true},
		{"refuses the sender", map[string]string{"MAIL": "550 no"}, delivery.ErrRejected, false},
		{"refuses the recipient for now", map[string]string{"RCPT": "450 later"}, nil, true},
		{"refuses the recipient", map[string]string{"RCPT": "550 no such user"}, delivery.ErrRejected, false},
		{"hangs up on the recipient", map[string]string{"RCPT": hangUp}, nil, true},
		{"refuses DATA", map[string]string{"DATA": "554 no"}, delivery.ErrRejected, false},
		{"refuses the message for now", map[string]string{".": "452 full"}, nil, true},
		{"refuses the message", map[string]string{".": "554 spam"}, delivery.ErrRejected, false},
		{"hangs up on the message", map[string]string{".": hangUp}, delivery.ErrUnanswered, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.twoHosts()
			first := r.scripted(mx1, test.replies)
			r.friendly(mx2, mtaststest.MX{})
			if err := r.deliver(); !errors.Is(err, test.want) {
				t.Errorf("Deliver: %v, want %v", err, test.want)
			}
			if test.second {
				r.wantMail(mx2 + " in TLS 1.3")
			} else {
				r.wantMail()
			}
			if test.want == nil && !test.second && first.messages.Load() != 1 {
				t.Errorf("the first host has %d copies of the message, want 1", first.messages.Load())
			}
			if got := first.sessions.Load(); got != 1 {
				t.Errorf("%d sessions with the first host, want 1", got)
			}
		})
	}
}

func TestEndlessGreetingIsLeft(t *testing.T) {
	r := newRig(t)
	r.twoHosts()
	r.serve(mx1, endless)
	r.friendly(mx2, mtaststest.MX{})
	if err := r.deliver(); err != nil {
		t.Fatal(err)
	}
	r.wantMail(mx2 + " in TLS 1.3")
}
