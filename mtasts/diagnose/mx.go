package diagnose

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/mtasts/go-mtasts/internal/sts"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// maxSessions bounds the MX hosts that are examined at once.
const maxSessions = 4

// findMX finds the MX hosts, and examines each.
func (d *diagnosis) findMX(ctx context.Context) {
	lookup, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	records, err := d.opts.Resolver.LookupMX(lookup, d.r.Domain+".")
	if isNotFound(err) {
		// RFC 5321, Section 5.1: without MX records, the domain is its own MX host, if
		// it has an address.
		if _, addrErr := d.opts.Resolver.LookupNetIP(lookup, "ip", d.r.Domain+"."); addrErr == nil {
			d.addMX(d.r.Domain, MX{Implicit: true})
		} else if !isNotFound(addrErr) {
			d.mxErr = addrErr
		}
		d.noMX = true
	} else if d.mxErr = err; err == nil {
		d.nullMX = len(records) == 1 && records[0].Host == "."
		d.r.MXMore = max(0, len(records)-maxMX)
		for _, mx := range records[:min(len(records), maxMX)] {
			if !d.nullMX {
				d.addMX(mx.Host, MX{Preference: mx.Pref})
			}
		}
	}
	if d.mxErr == nil && d.r.MX == nil {
		d.r.MX = []MX{}
	}
	d.r.MXError = errorText(d.mxErr)

	places := make(chan struct{}, maxSessions)
	var hosts sync.WaitGroup
	defer hosts.Wait()
	for i := range d.r.MX {
		hosts.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			mx, s := &d.r.MX[i], &d.sessions[i]
			mx.DANE = d.findDANE(ctx, s.name)
			if d.opts.Probe {
				mx.Probe = d.probe(ctx, s)
			}
		})
	}
}

func (d *diagnosis) addMX(host string, mx MX) {
	mx.Host = clean(strings.TrimSuffix(host, "."))
	name, err := sts.Name(host)
	if err == nil {
		mx.Host = name
	}
	d.r.MX = append(d.r.MX, mx)
	d.sessions = append(d.sessions, session{host: host, name: name})
}

// findDANE finds out whether an MX host has TLSA records (RFC 7672, Section 3.1).
func (d *diagnosis) findDANE(ctx context.Context, host string) DANE {
	r, ok := d.opts.Resolver.(interface {
		LookupTLSA(ctx context.Context, name string) ([]resolver.TLSA, bool, error)
	})
	if !ok || host == "" {
		return DANE{State: NotTested}
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	dane := DANE{State: Pass, Name: "_25._tcp." + host, Records: []string{}}
	records, authenticated, err := r.LookupTLSA(ctx, dane.Name+".")
	if err != nil && !isNotFound(err) {
		dane.State, dane.Error = Unknown, errorText(err)
		return dane
	}
	const most = 10
	dane.Authenticated = authenticated
	for _, r := range records[:min(len(records), most)] {
		dane.Records = append(dane.Records, fmt.Sprintf("%d %d %d %s", r.Usage, r.Selector, r.Matching, hex.EncodeToString(r.Data[:min(len(r.Data), 64)])))
	}
	return dane
}

func (d *diagnosis) judgeMX() {
	switch {
	case d.mxErr != nil:
		d.add("mx-lookup-failed", "", args{"name": d.r.Domain, "error": d.r.MXError})
	case d.nullMX:
		d.add("mx-null", "", nil)
	case d.noMX:
		address := ""
		if len(d.r.MX) == 0 {
			address = " It has no address either, so that no mail can be delivered."
		}
		d.add("mx-none", "", args{"address": address})
	}
	if d.r.MXMore > 0 {
		d.add("mx-too-many", "", args{"more": strconv.Itoa(d.r.MXMore)})
	}
	for i := range d.r.MX {
		mx, s := &d.r.MX[i], &d.sessions[i]
		d.decideMX(mx, s)
		if mx.Listed != NotListed || d.judgeListing(mx, s) {
			d.judgeProbe(mx, s)
		}
		if dane := mx.DANE; dane.Authenticated && len(dane.Records) > 0 {
			f := d.add("dane-present", mx.Host, args{"mx": mx.Host, "name": dane.Name})
			for _, record := range dane.Records {
				f.show(dane.Name+" TLSA", record, 0)
			}
		}
	}
	d.judgePatterns()
	d.judgeDelivery()
}

// decideMX does what a sender does at one MX host (RFC 8461, Sections 4 and 5).
func (d *diagnosis) decideMX(mx *MX, s *session) {
	covers := func(pattern string) bool { return s.name != "" && sts.Match([]string{pattern}, s.name) }
	for i, pattern := range d.patterns() {
		if covers(pattern.Text) {
			d.r.File.MX[i].Hosts = append(d.r.File.MX[i].Hosts, mx.Host)
		}
	}
	listing := d.listing()
	switch i := slices.IndexFunc(listing.MX, covers); {
	case listing.Mode == mtasts.ModeNone:
	case i >= 0:
		mx.Listed, mx.Pattern = Listed, clean(listing.MX[i])
	default:
		mx.Listed = NotListed
	}
	host, err := d.applied.CheckMX(s.host)
	mx.Decision = Deliver
	if err == nil {
		host.TLSConfig(&tls.Config{RootCAs: d.opts.RootCAs}) // whose roots judge the session
		switch {
		case s.state != nil:
			err = host.Verify(*s.state)
		case s.cause != nil:
			err = host.AllowFallback(s.cause)
		case d.enforced():
			mx.Decision = Untested
		}
	}
	if violation, ok := errors.AsType[*mtasts.Error](err); ok && d.enforced() {
		mx.Decision, mx.Result, mx.Reason = Hold, string(violation.Result), violation.Reason
	}
}

// judgeListing is for an MX host that the policy does not list. It reports whether the host
// appears to belong to the domain. If not, the MX record may be forged, and the host that
// of an attacker.
func (d *diagnosis) judgeListing(mx *MX, s *session) (related bool) {
	if s.name == "" {
		d.add("mx-not-a-name", mx.Host, args{"mx": mx.Host})
		return false
	}
	near, listing := "", d.listing()
	if mx.Near, mx.NearWhy = nearest(listing.MX, s.name); mx.Near != "" {
		mx.Near = clean(mx.Near)
		near = fmt.Sprintf(" The nearest pattern is %s: %s.", mx.Near, mx.NearWhy)
	}
	f := d.add("mx-not-listed", mx.Host, args{"mx": mx.Host, "patterns": and(cleanAll(listing.MX, maxLines)), "near": near}).
		show(d.r.Domain+" MX", fmt.Sprintf("%d %s", mx.Preference, mx.Host), 0)
	if related = mx.Near != "" || strings.HasSuffix("."+s.name, "."+d.r.Domain); related {
		f.publish("mx: " + s.name)
	}
	return related
}

// listing is the policy that says which MX hosts are listed: the one that is applied, or
// else the file, so that its publisher sees what will be once senders find it.
func (d *diagnosis) listing() *mtasts.Policy {
	p := *d.applied
	if p.Mode == mtasts.ModeNone && d.policy.Mode != "" {
		p.Mode, p.MX = mtasts.Mode(d.policy.Mode), d.policy.MX
	}
	return &p
}

// patterns are those of the published policy, nil without one.
func (d *diagnosis) patterns() []Pattern {
	if d.r.File == nil || !d.r.File.Valid {
		return nil
	}
	return d.r.File.MX
}

// nearest returns the pattern that was most likely meant for an MX host that none matches,
// and why it does not (RFC 8461, Section 4.1).
func nearest(patterns []string, host string) (pattern, why string) {
	_, parent, _ := strings.Cut(host, ".")
	best := 0
	consider := func(rank int, p, reason string) {
		if rank > best {
			best, pattern, why = rank, p, reason
		}
	}
	for _, p := range patterns {
		base, wildcard := strings.CutPrefix(p, "*.")
		switch {
		case wildcard && strings.HasSuffix(host, "."+base):
			labels := strings.Count(strings.TrimSuffix(host, "."+base), ".") + 1
			consider(4, p, fmt.Sprintf("the asterisk stands for one label, and the host has %d before %s", labels, base))
		case wildcard && host == base:
			consider(3, p, "the asterisk stands for one label, and the host has none before "+base)
		case !wildcard && p == parent:
			consider(3, p, "a pattern without an asterisk covers one host, and none below it")
		case strings.TrimPrefix(p, ".") == parent, strings.Contains(p, host):
			consider(2, clean(p), "it is no host name and no wildcard")
		}
	}
	return pattern, why
}

// judgePatterns finds the patterns that cover no MX host.
func (d *diagnosis) judgePatterns() {
	if len(d.r.MX) == 0 || d.r.MXMore > 0 || d.listing().Mode == mtasts.ModeNone {
		return
	}
	for _, p := range d.patterns() {
		if !p.Odd && len(p.Hosts) == 0 {
			line := strconv.Itoa(p.Line)
			d.add("pattern-unused", "line "+line, args{"line": line, "pattern": p.Text})
		}
	}
}

// judgeDelivery says what becomes of a message.
func (d *diagnosis) judgeDelivery() {
	var hosts, addresses []string
	seen := make(map[Decision]bool)
	for _, mx := range d.r.MX {
		seen[mx.Decision] = true
		hosts = append(hosts, mx.Host)
		if mx.Probe != nil && !slices.Contains(addresses, mx.Probe.Address) {
			addresses = append(addresses, mx.Probe.Address)
		}
	}
	v := &d.r.Verdict
	switch {
	case seen[Deliver]:
		v.Delivery = Deliver
	case seen[Untested] || d.r.MXMore > 0:
		v.Delivery = Untested
	case seen[Hold]:
		v.Delivery = Hold
		same := ""
		if len(hosts) > 1 && len(addresses) == 1 && addresses[0] != "" {
			same = " All of them are one machine, at " + addresses[0] + "."
		}
		f := d.add("mail-held", "", args{"hosts": and(hosts), "same": same})
		if d.opts.Probe && !d.has("mx-not-listed", "mx-not-a-name") {
			f.Step = StepProbe
		}
	}
}
