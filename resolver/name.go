package resolver

import (
	"net"
	"strconv"
	"strings"
)

// maxName is the length of the longest name with its final dot. On the wire it has 255
// octets (RFC 1035, Section 2.3.4).
const maxName = 254

// absolute returns name with a final dot, or an error if it is not a domain name. The
// rules are those of package net, which reports some malformed names as not found.
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
		return "", notFound(name) // RFC 7686, Section 2: never in the DNS
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

// quote escapes an untrusted name for an error text.
func quote(name string) string {
	q := strconv.QuoteToASCII(name[:min(len(name), maxName)])
	return q[1 : len(q)-1]
}

// key is the form in which names are compared: lower case, with a final dot. Case is
// defined for ASCII letters only (RFC 4343), and absolute accepts no others.
func key(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, ".")) + "."
}

// families returns the address families that a network name stands for.
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
