package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mtasts/go-mtasts/mtasts"
)

// An outcome is what has become of a message, as others than the sender saw it.
type outcome struct {
	takenBy  string // the host in whose mailbox it is; "" if it is in none
	overTLS  bool   // it came there over TLS
	reported string // the result of the session for a TLSRPT report; "" if there is none
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
	return s
}

// A finding is an outcome with what belongs to its story.
type finding struct {
	outcome
	mx  string // the host that was tried
	why string
}

// find looks for the message with this subject in all mailboxes, and for what has
// been reported about its session. failure is what the sender says.
func (s *stage) find(subject string, events []mtasts.Event, failure error) finding {
	var f finding
	var hosts []string // two, if it was delivered twice
	for _, host := range allMX {
		for _, mail := range s.world.Mail(host) {
			if strings.HasPrefix(mail.Data, subject) {
				hosts = append(hosts, host)
				f.overTLS = mail.TLS != nil
				f.why = "clear text"
				if f.overTLS {
					f.why = tls.VersionName(mail.TLS.Version)
				}
			}
		}
	}
	f.takenBy = strings.Join(hosts, " and ")
	f.mx = f.takenBy

	i := slices.IndexFunc(events, func(e mtasts.Event) bool { return e.Kind == mtasts.EventSession })
	switch {
	case i < 0 && failure != nil:
		f.why = failure.Error()
	case i < 0:
		f.why += ", any certificate will do: there is no policy"
	case events[i].Err == nil:
		f.reported = "success"
		f.why += ", certificate verified"
	case f.takenBy == "":
		f.reported = string(events[i].Result)
		f.mx = events[i].MX
		f.why = fmt.Sprintf("%s: %v", f.reported, root(events[i].Err))
	default:
		f.reported = string(events[i].Result)
		f.why += ", the policy would not have it; reported: " + f.reported
	}
	return f
}

// root returns the error at the bottom of err, which says it in the fewest words.
func root(err error) error {
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err
}
