package resolver

import (
	"net"
	"strconv"
	"strings"
)

// maxName is the longest absolute name in text: 255 octets on the wire
// (RFC 1035, Section 2.3.4) are 254 characters with the final dot.
const maxName = 254

// absolute returns name with a final dot, or an error if it is not a name that
// the DNS can be asked for. The rules are those of package net, which reports
// some of the other names as not found without having asked a server.
func absolute(name string) (string, error) {
	fqdn := strings.TrimSuffix(name, ".") + "."
	valid, numeric := len(fqdn) <= maxName, true
	for label := range strings.SplitSeq(fqdn[:len(fqdn)-1], ".") {
		valid = valid && validLabel(label)
		numeric = numeric && strings.Trim(label, "0123456789") == ""
	}
	if !valid || numeric {
		return "", &net.DNSError{Err: "not a domain name", Name: quote(name)}
	}
	if strings.HasSuffix(key(name), ".onion.") {
		return "", notFound(name) // RFC 7686, Section 2: never asked for, and not in the DNS
	}
	return fqdn, nil
}

// validLabel reports whether label consists of 1 to 63 letters, digits, hyphens
// and underscores, without a hyphen at either end.
func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range []byte(label) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// quote makes a name that may hold anything fit for an error string.
func quote(name string) string {
	q := strconv.QuoteToASCII(name[:min(len(name), maxName)])
	return q[1 : len(q)-1]
}

// key is the spelling under which names are equal: lower case, with a final dot.
// Only ASCII letters fold (RFC 4343), which is all that absolute lets through.
func key(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, ".")) + "."
}

// families tells which addresses a network name asks for.
func families(network string) (ip4, ip6 bool, err error) {
	switch network {
	case "ip":
		return true, true, nil
	case "ip4":
		return true, false, nil
	case "ip6":
		return false, true, nil
	}
	return false, false, net.UnknownNetworkError(network)
}
