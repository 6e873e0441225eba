package sts

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxName is the length of the longest domain name without its final dot, in octets
// (RFC 1035, Section 2.3.4: 255 on the wire).
const maxName = 253

// Name returns the form in which policy domains, MX hosts and patterns are compared:
// lower-case A-labels without a final dot. It allocates nothing for a name that has
// this form already, with or without a final dot. For anything that is not a host
// name, such as an IP address, it returns a [*SyntaxError].
//
// A label in ASCII only changes its case. It may have underscores, and hyphens where
// IDNA does not allow them: such hosts exist and receive mail. A label with other
// characters is converted by IDNA2008, non-transitional.
func Name(s string) (string, error) {
	name := strings.TrimSuffix(s, ".")
	found := scan(name)
	if found == notASCII {
		var ok bool
		if name, ok = toALabels(s); !ok {
			return badName("cannot be converted to A-labels", s)
		}
		found = scan(name)
	}
	switch found {
	case 0:
		return name, nil
	case upper:
		return lower(name), nil
	default:
		return badName("is not a domain name", s)
	}
}

// toALabels converts the U-labels of a name and removes its final dot.
func toALabels(s string) (string, bool) {
	if !utf8.ValidString(s) { // ToASCII accepts some that are not
		return "", false
	}
	labels := strings.Split(strings.TrimSuffix(beforeIDNA.Replace(s), "."), ".")
	for i, label := range labels {
		if scan(label) != notASCII {
			continue
		}
		var err error
		if labels[i], err = idna.Lookup.ToASCII(label); err != nil {
			return "", false
		}
	}
	return strings.Join(labels, "."), true
}

// beforeIDNA replaces the full stops of other scripts (UTS #46, Section 2.3), and
// capital sharp s by small sharp s. ToASCII maps only the capital to "ss", so that the
// two spellings of one domain would have different A-labels.
var beforeIDNA = strings.NewReplacer("\u3002", ".", "\uff0e", ".", "\uff61", ".", "\u1e9e", "\u00df")

func badName(reason, s string) (string, error) {
	return "", &SyntaxError{Where: "name", Reason: quote(s) + " " + reason}
}

// PolicyDomain returns the policy domain for a next hop, in the form that [Name]
// returns. A next hop is a recipient domain, or a smart host that an MTA writes as
// relay.example, relay.example:587, [relay.example] or [relay.example]:587. The port
// may also be the name of a service. For an address literal, [192.0.2.1] or
// [IPv6:2001:db8::1], with or without a port, the error is [ErrLiteral] (RFC 8461,
// Section 3.4). Any other error is a [*SyntaxError].
func PolicyDomain(hop string) (string, error) {
	if name := strings.TrimSuffix(hop, "."); scan(name) == 0 {
		return name, nil // the usual form
	}
	if !strings.ContainsAny(hop, "[:") {
		return Name(hop)
	}
	host, port := hop, ""
	if inner, ok := strings.CutPrefix(hop, "["); ok {
		if host, port, ok = strings.Cut(inner, "]"); !ok {
			return badName(`has "[" but no "]"`, hop)
		}
		if isAddress(host) && isPort(port) {
			return "", ErrLiteral
		}
	} else if i := strings.LastIndexByte(hop, ':'); i >= 0 {
		host, port = hop[:i], hop[i:]
	}
	if !isPort(port) {
		return badName("has a port that is neither 1 to 65535 nor the name of a service", hop)
	}
	return Name(host)
}

// isAddress reports whether s, from inside brackets, makes an address literal (RFC
// 5321, Section 4.1.3). MTAs also accept an IPv6 address without the tag "IPv6:".
func isAddress(s string) bool {
	const tag = "ipv6:"
	if len(s) > len(tag) && strings.EqualFold(s[:len(tag)], tag) {
		s = s[len(tag):]
	}
	addr, err := netip.ParseAddr(s)
	return err == nil && addr.Zone() == ""
}

// isPort reports whether s is empty, or ":" and a port number or the name of a
// service. Here a name of a service begins with a letter; RFC 6335, Section 5.1 allows
// a digit too, but that looks like a malformed number.
func isPort(s string) bool {
	if s == "" {
		return true
	}
	port, ok := strings.CutPrefix(s, ":")
	if !ok || port == "" {
		return false
	}
	if '0' <= port[0] && port[0] <= '9' {
		n, err := strconv.ParseUint(port, 10, 16)
		return err == nil && n > 0
	}
	return len(port) <= 15 && scan(port)&noName == 0 && !strings.ContainsAny(port, "._")
}
