package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// A TLSA is a TLSA record (RFC 6698, Section 2.1).
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// typeTLSA is from RFC 6698, Section 7.1.
const typeTLSA dnsmessage.Type = 52

// LookupAliases returns the targets of the CNAMEs that lead away from name, in order, as
// lower-case names without a final dot; none if name is no alias or does not exist. The
// chain may end at a name that does not exist.
func (s System) LookupAliases(ctx context.Context, name string) ([]string, error) {
	// A server follows the chain whatever type is asked for, and shows it.
	reply, err := s.lookupRaw(ctx, name, dnsmessage.TypeTXT)
	if err != nil {
		return nil, err
	}
	next := make(map[string]string)
	err = eachAnswer(reply, func(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) error {
		if h.Type != dnsmessage.TypeCNAME {
			return p.SkipAnswer()
		}
		alias, err := p.CNAMEResource()
		next[key(h.Name.String())] = key(alias.CNAME.String())
		return err
	})
	if err != nil {
		return nil, serverFailure(name)
	}
	var targets []string
	for at := next[key(name)]; at != "" && len(targets) <= maxChain; at = next[at] {
		targets = append(targets, strings.TrimSuffix(at, "."))
	}
	return targets, nil
}

// LookupTLSA returns the TLSA records of name, such as _25._tcp.mx.example.com (RFC 7672).
// authenticated is the AD bit of the answer, also of one without records: the resolver has
// confirmed it by DNSSEC. It is worth as much as the resolver and the way to it are, so
// rely on it only for a resolver of one's own on the same machine.
func (s System) LookupTLSA(ctx context.Context, name string) (records []TLSA, authenticated bool, err error) {
	reply, err := s.lookupRaw(ctx, name, typeTLSA)
	if err != nil {
		return nil, false, err
	}
	err = eachAnswer(reply, func(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) error {
		if h.Type != typeTLSA {
			return p.SkipAnswer()
		}
		r, err := p.UnknownResource()
		if err == nil && len(r.Data) > 3 {
			records = append(records, TLSA{r.Data[0], r.Data[1], r.Data[2], slices.Clone(r.Data[3:])})
		}
		return err
	})
	if err != nil {
		return nil, false, serverFailure(name)
	}
	return records, reply[3]&flagAD != 0, nil
}

// LookupAuthenticated reports whether the resolver has confirmed by DNSSEC what the DNS says
// about records of name, which includes that there are none: the AD bit of the answer, as in
// LookupTLSA. recordType is "MX", "A" or "CNAME". DANE applies only to a host whose MX record and
// address are authenticated (RFC 7672, Section 2.2). If the host is an alias, "A" stands for the
// whole chain, and "CNAME" for the alias itself.
func (s System) LookupAuthenticated(ctx context.Context, recordType, name string) (bool, error) {
	kind := dnsmessage.TypeA
	switch recordType {
	case "MX":
		kind = dnsmessage.TypeMX
	case "CNAME":
		kind = dnsmessage.TypeCNAME
	}
	reply, err := s.lookupRaw(ctx, name, kind)
	return err == nil && reply[3]&flagAD != 0, err
}

// lookupRaw returns the reply to a question of any type. That there is no such record, or
// name, is a reply too.
func (s System) lookupRaw(ctx context.Context, name string, kind dnsmessage.Type) ([]byte, error) {
	raw := &rawLookup{kind: kind}
	_, err := s.LookupTXT(context.WithValue(ctx, rawKey{}, raw), name)
	if dns, ok := errors.AsType[*net.DNSError](err); err != nil && !(ok && dns.IsNotFound) {
		return nil, err
	}
	if raw.last == nil {
		return nil, notFound(name) // known without a question, such as .onion
	}
	return raw.last, nil
}

// eachAnswer calls each for the records of the answer section.
func eachAnswer(reply []byte, each func(*dnsmessage.Parser, dnsmessage.ResourceHeader) error) error {
	var p dnsmessage.Parser
	if _, err := p.Start(reply); err != nil {
		return err
	}
	if err := p.SkipAllQuestions(); err != nil {
		return err
	}
	for {
		h, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			return nil
		}
		if err != nil {
			return err
		}
		if err := each(&p, h); err != nil {
			return err
		}
	}
}

// rawKey is the key of a *rawLookup in the context of a look-up.
type rawKey struct{}

// A rawLookup is a look-up that net has no method for. net asks for TXT records, and sees to
// servers, retries and TCP. On the wire the question has another type, and the reply is
// kept. A nil rawLookup changes nothing.
type rawLookup struct {
	kind dnsmessage.Type
	last []byte // the last reply, which is the one that net has accepted
}

// flagAD is the AD bit in the fourth octet of a message (RFC 4035, Section 3.2.3). In a
// query it asks for the bit in the answer (RFC 6840, Section 5.7).
const flagAD = 0x20

// query returns a query of net's, behind a prefix, as it is to be sent.
func (r *rawLookup) query(b []byte, prefix int) []byte {
	if r == nil {
		return b
	}
	b = slices.Clone(b)
	if at := typeAt(b[prefix:]); at > 0 {
		b[prefix+3] |= flagAD
		binary.BigEndian.PutUint16(b[prefix+at:], uint16(r.kind))
	}
	return b
}

// reply keeps a reply, and makes of it what net has asked for.
func (r *rawLookup) reply(b []byte) {
	if r == nil {
		return
	}
	if at := typeAt(b); at > 0 {
		r.last = slices.Clone(b)
		binary.BigEndian.PutUint16(b[at:], uint16(dnsmessage.TypeTXT))
	}
}

// typeAt is where the type of the first question stands, 0 if b has none. There is no
// compression in the first name of a message.
func typeAt(b []byte) int {
	at := 12 // the header
	for at < len(b) && b[at] != 0 {
		at += int(b[at]) + 1
	}
	if at+3 > len(b) {
		return 0
	}
	return at + 1
}
