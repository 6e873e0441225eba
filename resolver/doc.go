// Package resolver makes the DNS look-ups of MTA-STS (RFC 8461, Section 3.1). [System]
// asks the machine's resolver, or a DNS server that the operator chooses. [Fake] replaces
// it in tests.
//
// The zero value of System is ready for use. A relay with a validating resolver of its
// own sets Server:
//
//	dns := resolver.System{Server: "127.0.0.1:53"}
//
// The TXT record, the addresses of the policy host and the MX records then all come from
// that server.
//
// # What an error means
//
// A sender must be able to tell a domain that publishes nothing from a failed look-up.
// Every error is a [*net.DNSError]. Its field IsNotFound is true only if a server said
// that the name does not exist or has no record of the type. It is false for any other
// failure.
//
//	what happened                      IsNotFound  IsTemporary  IsTimeout
//	NXDOMAIN, no such record           true        false        false
//	SERVFAIL, referral, truncation     false       true         false
//	no answer in time                  false       true         true
//	server cannot be reached           false       true         false
//	REFUSED, malformed answer          false       false        false
//	not a domain name (never asked)    false       false        false
//	ctx cancelled                      false       true         false
//	ctx past its deadline              false       true         true
//
// The error wraps [context.Canceled] or [context.DeadlineExceeded] if and only if the
// context of the look-up has ended. Any other time-out is due to [Limit] or to the
// configuration of the machine's resolver.
//
// # Names
//
// All names are absolute, with or without a final dot. The machine's search list never
// applies, so that a look-up of _mta-sts.example.com cannot find
// _mta-sts.example.com.corp.example. Names must be A-labels, in upper or lower case. The
// DNS server follows a CNAME.
package resolver
