package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/mtasts/go-mtasts/mtasts"
)

// An outcome is what has become of a message, as others than the sender saw it.
type outcome struct {
	takenBy  string // the host in whose mailbox it is; "" if it is in none
	overTLS  bool   // it came there over TLS
	reported string // the result of the last session for a TLSRPT report; "" if there is none
	news     string // what was reported about the policy, for the operator; "" if nothing
}

func (o outcome) String() string {
	s := "in no mailbox"
	switch {
	case o.overTLS:
		s = "taken over TLS by " + o.takenBy
	case o.takenBy != "":
		s = "taken in clear text by " + o.takenBy
	}
	if o.reported != "" {
		s += ", reported as " + o.reported
	}
	if o.news != "" {
		s += ", with the news " + o.news
	}
	return s
}

// A finding is an outcome with what belongs to its story.
type finding struct {
	outcome
	mx  string // the host that was tried
	why []string
}

// find searches all mailboxes for the message with this subject, and events for what was
// reported meanwhile. failure is what the sender says.
func (s *stage) find(subject string, events []mtasts.Event, failure error) finding {
	var f finding
	var hosts []string // two, if it was delivered twice
	how := "clear text"
	for _, host := range allMX {
		for _, mail := range s.world.Mail(host) {
			if strings.HasPrefix(mail.Data, subject) {
				hosts = append(hosts, host)
				if f.overTLS = mail.TLS != nil; f.overTLS {
					how = tls.VersionName(mail.TLS.Version)
				}
			}
		}
	}
	f.takenBy = strings.Join(hosts, " and ")
	f.mx = f.takenBy

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
		f.why = []string{how + ", any certificate will do: there is no policy"}
	case session.Err == nil:
		f.reported = "success"
		f.why = []string{how + ", certificate verified"}
	case f.takenBy == "":
		f.reported = string(session.Result)
		f.mx = session.MX
		f.why = []string{fmt.Sprintf("%s: %v", f.reported, root(session.Err))}
	default:
		f.reported = string(session.Result)
		f.why = []string{how + ", not verified; mode testing lets that pass, and reports " + f.reported}
	}
	if other == nil {
		return f
	}
	f.news = strings.TrimSpace(fmt.Sprint(other.Kind, " ", cmp.Or(string(other.Result), other.Reason)))
	if other.Previous != nil {
		f.why = append(f.why, "News: "+f.news, "  from "+brief(other.Previous), "  to   "+brief(other.Policy))
	} else {
		f.why = append(f.why, fmt.Sprintf("Alarm: %s: %v", f.news, root(other.Err)))
	}
	return f
}

// brief is a policy in a few words.
func brief(p *mtasts.Policy) string {
	return fmt.Sprintf("id %s, %s, %s", p.ID, p.Mode, strings.Join(p.MX, " "))
}

// root returns the error at the bottom of err, which says it in the fewest words.
func root(err error) error {
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err
}
