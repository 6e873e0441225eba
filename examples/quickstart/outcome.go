package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/mtasts/go-mtasts/examples/internal/testnet"
	"github.com/mtasts/go-mtasts/mtasts"
)

// An outcome is what the receivers and the reports show of a message.
type outcome struct {
	receivedBy string // the host in whose mailbox it is; "" if it is in none
	overTLS    bool   // that host received it over TLS
	reported   string // the result of the last session for a TLSRPT report; "" if no policy applied
	notice     string // the event about the policy, for the operator; "" if there was none
}

func (o outcome) String() string {
	s := "in no mailbox"
	switch {
	case o.overTLS:
		s = "received over TLS by " + o.receivedBy
	case o.receivedBy != "":
		s = "received in clear text by " + o.receivedBy
	}
	if o.reported != "" {
		s += ", reported as " + o.reported
	}
	if o.notice != "" {
		s += ", with the notice " + o.notice
	}
	return s
}

// A finding is an outcome with its explanation.
type finding struct {
	outcome
	mx  string // the host that was tried
	why []string
}

// find searches all mailboxes for the message with this subject. events are those that the
// message caused, and failure is the error of the sender.
func (s *stage) find(subject string, events []mtasts.Event, failure error) finding {
	var f finding
	var hosts []string // two, if it was delivered twice
	how := "clear text"
	for _, host := range testnet.AllMX {
		for _, mail := range s.World.Mail(host) {
			if strings.HasPrefix(mail.Data, subject) {
				hosts = append(hosts, host)
				if f.overTLS = mail.TLS != nil; f.overTLS {
					how = tls.VersionName(mail.TLS.Version)
				}
			}
		}
	}
	f.receivedBy = strings.Join(hosts, " and ")
	f.mx = f.receivedBy

	var session, other *mtasts.Event
	for i, e := range events {
		if e.Kind == mtasts.EventSession {
			session = &events[i] // the last, if a newer policy was found after the first
		} else if other == nil && e.Kind != mtasts.EventOpportunistic {
			other = &events[i]
		}
	}
	switch {
	case session == nil && failure != nil:
		f.why = []string{failure.Error()}
	case session == nil:
		f.why = []string{how + ", not verified: there is no policy"}
	case session.Err == nil:
		f.reported = "success"
		f.why = []string{how + ", certificate verified"}
	case f.receivedBy == "":
		f.reported = string(session.Result)
		f.mx = session.MX
		f.why = []string{fmt.Sprintf("%s: %v", f.reported, root(session.Err))}
	default:
		f.reported = string(session.Result)
		f.why = []string{how + ", not verified; mode testing allows and reports " + f.reported}
	}
	if other == nil {
		return f
	}
	f.notice = strings.TrimSpace(fmt.Sprint(other.Kind, " ", cmp.Or(string(other.Result), other.Reason)))
	if other.Previous != nil {
		f.why = append(f.why, "Notice: "+f.notice, "  from "+brief(other.Previous), "  to   "+brief(other.Policy))
	} else {
		f.why = append(f.why, fmt.Sprintf("Alarm: %s: %v", f.notice, root(other.Err)))
	}
	return f
}

// brief returns a summary of a policy.
func brief(p *mtasts.Policy) string {
	return fmt.Sprintf("id %s, %s, %s", p.ID, p.Mode, strings.Join(p.MX, " "))
}

// root returns the innermost error of err, which has the shortest text.
func root(err error) error {
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err
}
