package mtasts

import (
	"errors"
	"net"
	"net/netip"
)

// A connection is what only the sender knows about an attempt.
type connection struct {
	local, remote netip.Addr
	helo          string
	dane          bool
}

// Connection notes between which addresses the attempt is made, and by which name the MX
// greets: the first word of its reply to EHLO. A report about the attempt has them (RFC
// 8460, Section 4.4). Call it at most once for a Host, before [Host.Verify] and
// [Host.AllowFallback], and not concurrently with them. Nil and "" mean unknown.
func (h *Host) Connection(local, remote net.Addr, helo string) {
	h.connection.local, h.connection.remote, h.connection.helo = address(local), address(remote), helo
}

// AppliedDANE notes that the sender applies a DANE policy to the attempt. Without an
// MTA-STS policy no [EventOpportunistic] is then reported: the sender reports the outcome
// as one of DANE. Call it as [Host.Connection] is called.
func (h *Host) AppliedDANE() { h.connection.dane = true }

// address returns the IP address in a, if there is one.
func address(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case nil:
		return netip.Addr{}
	case *net.TCPAddr: // without an allocation
		return a.AddrPort().Addr().Unmap()
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return ap.Addr().Unmap()
}

// event is the event about the attempt, without its outcome. It reports false if there is
// none: there is one already, or the attempt is a matter of DANE alone.
func (h *Host) event() (Event, bool) {
	p, c := h.policy, &h.connection
	e := Event{Kind: EventSession, Domain: p.Domain, Policy: p, MX: h.Name, Local: c.local, Remote: c.remote, HELO: c.helo}
	if p.Mode == ModeNone {
		e.Kind = EventOpportunistic
		// That the policy could not be had is to be reported beside DANE, too.
		if cause, ok := errors.AsType[*Error](p.Cause); c.dane && !(ok && cause.Result != "") {
			return e, false
		}
	}
	return e, !h.reported.Swap(true)
}
