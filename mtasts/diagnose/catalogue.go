package diagnose

import (
	"cmp"
	"maps"
	"slices"
)

// An entry is what the catalogue has for one code. In its texts {name} stands for an
// argument of the finding; {domain} and {host} are always there.
type entry struct {
	title  string
	text   string
	effect string // empty: that of the section
	mend   string

	severity Severity // empty: Error
	step     StepID   // that of the section
	clause   string   // empty: that of the section

	// observed is the effect without a policy in mode enforce, where nothing is held
	// back: an Error with it is then a Warning, and a Notice for a domain that does not
	// take part in MTA-STS.
	observed string

	// causes are the codes from which this one follows, if they are in the report.
	causes []Code
}

// A section is the part of the catalogue that is about one step.
type section struct {
	step                     StepID
	clause, effect, observed string // of the entries that have none of their own
	entries                  map[Code]entry
}

// catalogue is never written to.
var catalogue = join(domainSection, recordSection, hostSection, tlsSection, hostCertificates, answerSection, fileSection, mxSection,
	probeSection, mxCertificates, daneSection, tlsrptSection, cachedSection)

func join(sections ...section) map[Code]entry {
	all := make(map[Code]entry)
	for _, s := range sections {
		for code, e := range s.entries {
			e.step = s.step
			e.severity = cmp.Or(e.severity, Error)
			e.clause = cmp.Or(e.clause, s.clause)
			if e.effect == "" {
				e.effect, e.observed = s.effect, s.observed
			}
			all[code] = e
		}
	}
	return all
}

// Catalogue returns a finding for each code that this version knows, in the order of the
// codes, with its texts not filled in. DependsOn has all its possible causes.
func Catalogue() []Finding {
	var list []Finding
	for _, code := range slices.Sorted(maps.Keys(catalogue)) {
		e := catalogue[code]
		list = append(list, Finding{Code: code, Severity: e.severity, Step: e.step, Clause: e.clause,
			Title: e.title, Text: e.text, Effect: e.effect, Mend: e.mend, DependsOn: slices.Clone(e.causes)})
	}
	return list
}

// Effects that several findings have.
const (
	unprotected = "Senders find no policy for {domain}. They deliver, but an attacker on the way can switch TLS off or divert the mail. Senders that have an older policy cached apply it until it expires."

	fetchFails = "Senders get no usable policy. One that has none cached delivers without protection. One that has an older policy cached applies it until it expires."

	heldHere = "Senders deliver nothing to {mx}. They try the other MX hosts, and hold the message if none of them will do."

	wouldBeHeld = "Mail is delivered, because no policy in mode enforce applies. Under one, senders would deliver nothing to {mx}."
)

// dnsFailure is the entry for a look-up of what that had no answer.
func dnsFailure(what, effect string) entry {
	return entry{
		severity: CouldNotTell,
		title:    "The DNS gave no answer for " + what,
		text:     "The look-up of {name} failed: {error}.",
		effect:   effect,
		mend:     "Try again. If the failure lasts, check the name servers of {domain} and its DNSSEC signatures.",
	}
}

// certificates are the entries for what may be wrong with the certificate of a host, whose
// codes begin with prefix. After its expiry, the effect is later.
func certificates(prefix Code, later string) map[Code]entry {
	return map[Code]entry{
		prefix + "-certificate-name": {title: "The certificate of {name} is for another name",
			text: "{name} presents a certificate for {names}. The certificate must have the DNS name {name}. A common name does not count, nor does the name of a CNAME's target.",
			mend: "If this is not your certificate, somebody answers in place of {name}: check its DNS records. Otherwise get a certificate with the DNS name {name}. Set the server up to present it when a client asks for that name by SNI."},
		prefix + "-certificate-expired": {title: "The certificate of {name} has expired",
			text: "The certificate of {name}, or of its issuer, is no longer valid: {error}.",
			mend: "Renew the certificate and reload the server, which may still use the old one. Let a timer do both from now on."},
		prefix + "-certificate-untrusted": {title: "The certificate of {name} is not trusted",
			text:   "The chain that {name} presents does not lead to a trusted root ({reason}): {error}.",
			mend:   "If this is not your certificate, somebody answers in place of {name}: check its DNS records. Otherwise use a certificate of a public authority that is valid now. Send the whole chain with its intermediates, not the certificate alone.",
			causes: []Code{"root-dropped", "no-authorities"}},
		prefix + "-certificate-expires-soon": {severity: Warning,
			title:  "The certificate of {name} expires soon",
			text:   "The certificate of {name} is valid until {until}, for {left}.",
			effect: later,
			mend:   "Renew the certificate, and find out why it was not renewed automatically."},
	}
}
