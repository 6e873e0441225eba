package tlsrpt_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"
)

// This is a reader written from RFC 8460, Section 4.4 and RFC 7493 (I-JSON) alone. It
// shares nothing with the writer, and refuses whatever these do not allow.

type readReport struct {
	Organization, Contact, ID string
	Start, End                time.Time
	Policies                  []readPolicy
}

type readPolicy struct {
	Type, Domain        string
	Text, MXHosts       []string
	Successes, Failures uint64
	Details             []readDetail
}

type readDetail struct {
	Result, MX, HELO, Information, Reason string
	SendingIP, ReceivingIP                netip.Addr
	Count                                 uint64
}

// An object is a JSON object of which each member is taken once. The first problem stays.
type object struct {
	members map[string]json.RawMessage
	err     error
}

func (o *object) fail(format string, args ...any) {
	if o.err == nil {
		o.err = fmt.Errorf(format, args...)
	}
}

// member decodes a member into v, and reports whether it is there.
func (o *object) member(name string, required bool, v any) bool {
	raw, there := o.members[name]
	delete(o.members, name)
	switch {
	case !there && required:
		o.fail("%s is missing", name)
	case there && string(raw) == "null":
		o.fail("%s is null", name)
	case there:
		if err := json.Unmarshal(raw, v); err != nil {
			o.fail("%s: %w", name, err)
		}
	}
	return there
}

// object returns an object with members of its own; the caller ends it.
func (o *object) object(name string) *object {
	inner := new(object)
	o.member(name, true, &inner.members)
	return inner
}

func (o *object) end(inner *object, name string) {
	for unknown := range inner.members {
		inner.fail("%s is unknown", unknown)
	}
	if inner.err != nil {
		o.fail("%s: %w", name, inner.err)
	}
}

// strings returns an array of strings that is not empty, if it is there at all.
func (o *object) strings(name string) (list []string) {
	var members []*string
	if o.member(name, false, &members) && len(members) == 0 {
		o.fail("%s is empty", name)
	}
	for _, s := range members {
		if s == nil {
			o.fail("%s holds null", name)
			return nil
		}
		list = append(list, *s)
	}
	return list
}

func (o *object) time(name string) time.Time {
	var s string
	o.member(name, true, &s)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !utcSeconds.MatchString(s) {
		o.fail("%s: %q is not a time in UTC", name, s)
	}
	return t
}

var utcSeconds = regexp.MustCompile(`\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z`)

func (o *object) addr(name string, required bool) netip.Addr {
	var s string
	if !o.member(name, required, &s) {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() || a.String() != s {
		o.fail("%s: %q is not an IP address", name, s)
	}
	return a
}

func (o *object) text(name string) (s string) {
	if o.member(name, false, &s) && s == "" {
		o.fail("%s is empty", name)
	}
	return s
}

func readJSON(text []byte) (r readReport, err error) {
	if err := checkIJSON(text); err != nil {
		return r, err
	}
	top := new(object)
	if err := json.Unmarshal(text, &top.members); err != nil {
		return r, err
	}
	top.member("organization-name", true, &r.Organization)
	top.member("contact-info", true, &r.Contact)
	top.member("report-id", true, &r.ID)
	dates := top.object("date-range")
	r.Start, r.End = dates.time("start-datetime"), dates.time("end-datetime")
	top.end(dates, "date-range")
	var entries []map[string]json.RawMessage
	top.member("policies", true, &entries)
	for _, members := range entries {
		entry, p := &object{members: members}, readPolicy{}
		policy := entry.object("policy")
		policy.member("policy-type", true, &p.Type)
		p.Text = policy.strings("policy-string")
		policy.member("policy-domain", true, &p.Domain)
		p.MXHosts = policy.strings("mx-host")
		entry.end(policy, "policy")
		summary := entry.object("summary")
		summary.member("total-successful-session-count", true, &p.Successes)
		summary.member("total-failure-session-count", true, &p.Failures)
		entry.end(summary, "summary")
		var details []map[string]json.RawMessage
		entry.member("failure-details", false, &details)
		for _, members := range details {
			detail, d := &object{members: members}, readDetail{}
			detail.member("result-type", true, &d.Result)
			d.SendingIP = detail.addr("sending-mta-ip", true)
			d.MX = detail.text("receiving-mx-hostname")
			d.HELO = detail.text("receiving-mx-helo")
			d.ReceivingIP = detail.addr("receiving-ip", false)
			detail.member("failed-session-count", true, &d.Count)
			d.Information = detail.text("additional-information")
			d.Reason = detail.text("failure-reason-code")
			entry.end(detail, "failure-details")
			p.Details = append(p.Details, d)
		}
		top.end(entry, "policies")
		r.Policies = append(r.Policies, p)
	}
	outer := new(object)
	outer.end(top, "report")
	return r, outer.err
}

// checkIJSON checks what RFC 7493, Sections 2.1 and 2.3 forbid beyond JSON: noncharacters
// and a member that stands twice.
func checkIJSON(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	var names [][]string // of the objects that are open; nil for an array
	var isName []bool
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		depth := len(names) - 1
		if s, ok := token.(string); ok {
			for _, r := range s {
				if r&0xfffe == 0xfffe || 0xfdd0 <= r && r <= 0xfdef {
					return fmt.Errorf("noncharacter in %+q", s)
				}
			}
			if depth >= 0 && isName[depth] {
				if slices.Contains(names[depth], s) {
					return fmt.Errorf("%q stands twice", s)
				}
				names[depth], isName[depth] = append(names[depth], s), false
				continue
			}
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			names, isName = append(names, []string{}), append(isName, token == json.Delim('{'))
			if token == json.Delim('[') {
				names[depth+1] = nil
			}
			continue
		case json.Delim('}'), json.Delim(']'):
			names, isName = names[:depth], isName[:depth]
			depth--
		}
		if depth >= 0 && names[depth] != nil {
			isName[depth] = true // a value has ended
		}
	}
}
