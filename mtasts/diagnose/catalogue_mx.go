package diagnose

// Effects that several findings about one MX host have.
const (
	heldHere = "Senders deliver nothing to {mx}. They try the other MX hosts, and hold the message if none will do."

	wouldBeHeld = "Nothing is held back as long as no policy enforces. Under mode enforce nothing could be delivered to {mx}."
)

var mxCatalogue = map[Code]entry{
	"mx-lookup-failed": {
		severity: CouldNotTell, step: StepMX, clause: "RFC 5321, Section 5.1",
		title:  "The DNS gave no answer for the MX records",
		text:   "The MX hosts of {domain} could not be found out: {error}.",
		effect: "Senders that meet the same keep the message and try again.",
		mend:   "Try again. If it lasts, check the name servers of {domain}.",
	},
	"mx-null": {
		severity: Notice, step: StepMX, clause: "RFC 7505, Section 3",
		title:  "The domain takes no mail",
		text:   "The MX record of {domain} is a null MX.",
		effect: "Senders refuse mail for {domain} at once. A policy protects nothing.",
		mend:   "Nothing needs to be done.",
	},
	"mx-none": {
		severity: Notice, step: StepMX, clause: "RFC 5321, Section 5.1",
		title:  "The domain has no MX record",
		text:   "Without an MX record, {domain} itself is its only MX host.",
		effect: "Mail goes to the addresses of {domain}, if it has any. The policy must list that name.",
		mend:   "Publish MX records, or a null MX if the domain takes no mail.",
	},
	"mx-too-many": {
		severity: CouldNotTell, step: StepMX, clause: "RFC 5321, Section 5.1",
		title:  "The domain has very many MX hosts",
		text:   "{more} MX hosts were not examined.",
		effect: "Not known for these hosts.",
		mend:   "A handful of MX records is enough for any domain.",
	},
	"mx-not-a-name": {
		severity: Error, step: StepMX, clause: "RFC 5321, Section 5.1",
		title:    "An MX record does not hold a host name",
		text:     "{mx} stands in an MX record, and is no host name. No policy can list it.",
		effect:   heldHere,
		observed: "Most senders cannot deliver to {mx}. They try the other MX hosts.",
		mend:     "Give the host a name with an A or AAAA record, and put the name into the MX record.",
	},
	"mx-not-listed": {
		severity: Error, step: StepMX, clause: "RFC 8461, Section 4.1",
		title:    "The policy does not list the MX host {mx}",
		text:     "No mx line matches {mx}. The policy lists {patterns}.{near}",
		effect:   heldHere,
		observed: wouldBeHeld,
		mend:     "Add this line to the policy file, and then change the id of the record. Or take the MX record away, if the host is no longer in use.",
		causes:   []Code{"mx-pattern-odd"},
	},
	"pattern-unused": {
		severity: Notice, step: StepMX, clause: "RFC 8461, Section 4.1",
		title:  "An mx line covers no MX host",
		text:   "Line {line}, mx: {pattern}, matches none of the MX hosts of {domain}.",
		effect: "None. But whoever controls a name that the line covers can receive mail for the domain, if they can forge its MX record.",
		mend:   "Remove the line, unless a move to such a host is planned.",
	},
	"mail-held": {
		severity: Error, step: StepMX, clause: "RFC 8461, Sections 5 and 8.4",
		title:  "All mail is held back",
		text:   "The policy is in mode enforce, and no MX host satisfies it: {hosts}.{same}",
		effect: "Senders keep each message and try again for some days. Then they return it.",
		mend:   "Mend the findings on which this one depends. If that takes time, publish mode testing under a new id: senders that see it deliver at once.",
		causes: []Code{"mx-not-listed", "mx-not-a-name", "mx-no-starttls", "mx-tls-failed", "mx-hello-too-large", "mx-tls-old", "mx-certificate-name",
			"mx-certificate-expired", "mx-certificate-untrusted"},
	},

	"mx-unreachable": {
		severity: CouldNotTell, step: StepProbe, clause: "RFC 5321, Section 5.1",
		title:  "No session with {mx}",
		text:   "No SMTP session with {mx} came about: {error}. Many networks block port 25 for machines that are no mail servers, this one perhaps too.",
		effect: "Not known.",
		mend:   "Try it from a mail server. If that fails as well, check the host and its firewall.",
	},
	"mx-not-public": {
		severity: CouldNotTell, step: StepProbe, clause: "RFC 5321, Section 5.1",
		title:  "{mx} has no public address",
		text:   "{mx} has no address that the whole Internet can reach, and was not tried: {error}.",
		effect: "Senders elsewhere cannot deliver to {mx}.",
		mend:   "Publish a public address for the host, or take its MX record away.",
	},
	"mx-no-starttls": {
		severity: Error, step: StepProbe, clause: "RFC 8461, Section 4.2",
		title:    "{mx} has no STARTTLS",
		text:     "STARTTLS {error}. It may be switched off at the host, or be removed on the way, which some firewalls do.",
		effect:   heldHere,
		observed: wouldBeHeld,
		mend:     "Switch STARTTLS on at the host, with a certificate for {mx}. If it is on, try from another network.",
	},
	"mx-tls-failed": {
		severity: Error, step: StepProbe, clause: "RFC 8461, Sections 4.2 and 7.2",
		title:    "No TLS session with {mx}",
		text:     "{mx} offers STARTTLS, but no TLS session came about: {error}.",
		effect:   heldHere,
		observed: wouldBeHeld,
		mend:     "Check the TLS settings and the certificate files of the host, in its own log.",
	},
	"mx-hello-too-large": {
		severity: Error, step: StepProbe, clause: "RFC 8446, Section 4.1.2",
		title:    "{mx} cannot take the hello of a current sender",
		text:     "With a key exchange that resists quantum computers, the hello of TLS does not fit into one packet, and the session with {mx} failed: {error}. Without that, the session came about. The host, or something in front of it, reads only the first packet.",
		effect:   "Current senders deliver nothing to {mx}. Older ones do.",
		observed: "Current senders get no TLS with {mx}, and fall back to clear text. Under mode enforce they could deliver nothing to it.",
		mend:     "Update the mail server, or the firewall or load balancer in front of it.",
	},
	"mx-tls-old": {
		severity: Error, step: StepProbe, clause: "RFC 8461, Section 7.2",
		title:    "{mx} knows only old versions of TLS",
		text:     "The session with {mx} was in {version}. A policy demands TLS 1.2 or later.",
		effect:   heldHere,
		observed: wouldBeHeld,
		mend:     "Switch TLS 1.2 and 1.3 on at the host.",
	},
	"mx-certificate-name": {
		severity: Error, step: StepProbe, clause: "RFC 8461, Section 4.2",
		title:    "The certificate of {mx} is for another name",
		text:     "The certificate that {mx} presents names {names}. It must have the DNS name {mx}, as the MX record does.",
		effect:   heldHere,
		observed: wouldBeHeld,
		mend:     "Get a certificate with the DNS name {mx}. Or let the MX record point to a name that the certificate has, and the policy list that one.",
	},
	"mx-certificate-expired": {
		severity: Error, step: StepProbe, clause: "RFC 8461, Section 4.2",
		title:    "The certificate of {mx} has expired",
		text:     "The certificate of {mx}, or of its issuer, is no longer valid: {error}.",
		effect:   heldHere,
		observed: wouldBeHeld,
		mend:     "Renew the certificate, and make the mail server reload it: many go on with the one that they read at their start.",
	},
	"mx-certificate-untrusted": {
		severity: Error, step: StepProbe, clause: "RFC 8461, Section 4.2",
		title:    "The certificate of {mx} is not trusted",
		text:     "The chain that {mx} presents does not lead to a trusted root ({reason}): {error}.",
		effect:   heldHere,
		observed: wouldBeHeld,
		mend:     "Use a certificate of a public authority that is valid now, and send the whole chain with its intermediates, not the certificate alone.",
		causes:   []Code{"root-dropped", "no-authorities"},
	},
	"mx-certificate-expires-soon": {
		severity: Warning, step: StepProbe, clause: "RFC 8461, Section 4.2",
		title:  "The certificate of {mx} expires soon",
		text:   "The certificate of {mx} is valid until {until}, for {left}.",
		effect: "None now. After that senders under mode enforce deliver nothing to {mx}.",
		mend:   "Renew the certificate, and find out why it was not renewed automatically.",
	},
}
