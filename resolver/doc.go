// Package resolver answers the DNS questions of MTA-STS (RFC 8461, Section 3.1):
// [System.LookupTXT] asks the machine's resolver, or a DNS server of the
// operator's own, and [Fake] stands in for it in tests.
//
// The zero value of System is ready for use. A relay with a validating resolver
// beside it names that one:
//
//	dns := resolver.System{Server: "127.0.0.1:53"}
//
// and then the TXT record, the addresses of the policy host and the MX records
// all come from the same server.
//
// # What an error means
//
// A sender must be able to tell "the domain publishes nothing" from "I could not
// find out". Every failed look-up is a [*net.DNSError], and its IsNotFound field
// makes that difference: it is true only if a server said that the name does not
// exist, or has no record of the wanted type. Whatever else goes wrong leaves it
// false.
//
//	what happened                      IsNotFound  IsTemporary  IsTimeout
//	NXDOMAIN, no such record           true        false        false
//	SERVFAIL, referral, cut answer     false       true         false
//	no answer in time                  false       true         true
//	server cannot be reached           false       true         false
//	REFUSED, malformed answer          false       false        false
//	not a domain name (never asked)    false       false        false
//	ctx cancelled                      false       true         false
//	ctx past its deadline              false       true         true
//
// The error wraps [context.Canceled] or [context.DeadlineExceeded] if, and only
// if, the context given to the look-up has ended. A time-out without that is
// [Limit] or the resolver's own patience.
//
// # Names
//
// All names are absolute, with or without a final dot: the machine's search list
// never applies, so that a look-up of _mta-sts.example.com cannot end at
// _mta-sts.example.com.corp.example. Names are A-labels in any case. A CNAME is
// followed by the DNS server.
package resolver
