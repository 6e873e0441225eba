package diagnose

var mxSection = section{StepMX, "RFC 5321, Section 5.1", heldHere, wouldBeHeld, map[Code]entry{
	"mx-lookup-failed": dnsFailure("the MX records", "Senders that meet the same failure keep the message and try again."),
	"mx-null": {
		severity: Notice, clause: "RFC 7505, Section 3",
		title:  "The domain takes no mail",
		text:   "The MX record of {domain} is a null MX.",
		effect: "Senders refuse mail for {domain} at once. A policy protects nothing.",
		mend:   "Nothing needs to be done.",
	},
	"mx-none": {
		severity: Notice,
		title:    "The domain has no MX record",
		text:     "{domain} has no MX record, so that it is itself its only MX host.{address}",
		effect:   "Mail goes to the addresses of {domain}, if it has any. A policy must list that name.",
		mend:     "Publish MX records, or a null MX if the domain takes no mail.",
	},
	"mx-too-many": {
		severity: CouldNotTell,
		title:    "The domain has very many MX hosts",
		text:     "{more} MX hosts were not examined.",
		effect:   "Not known for these hosts.",
		mend:     "Publish fewer MX records. A handful is enough for any domain.",
	},
	"mx-not-a-name": {
		title:    "An MX record does not hold a host name",
		text:     "An MX record of {domain} holds {mx}, which is no host name. No policy can list it.",
		effect:   heldHere,
		observed: "Most senders cannot deliver to {mx}. They try the other MX hosts.",
		mend:     "Give the host a name with an A or AAAA record, and put the name into the MX record.",
	},
	"mx-not-listed": {
		clause: "RFC 8461, Section 4.1",
		title:  "The policy does not list the MX host {mx}",
		text:   "No mx line matches {mx}. The policy lists {patterns}.{near}",
		mend:   "If {mx} is not yours or your provider's, somebody forges the DNS of {domain} to get its mail: leave the policy as it is, and check your name servers and your account at the registrar. If it is yours, add the line mx: {mx} to the policy file, and then change the id of the record. If it is no longer in use, remove its MX record.",
		causes: []Code{"mx-pattern-odd"},
	},
	"pattern-unused": {
		severity: Notice, clause: "RFC 8461, Section 4.1",
		title:  "An mx line covers no MX host",
		text:   "Line {line}, mx: {pattern}, matches none of the MX hosts of {domain}.",
		effect: "None on mail. But whoever controls a name that the line covers can receive mail for the domain, if they can forge its MX record.",
		mend:   "Remove the line, unless you plan to move to such a host.",
	},
	"mail-held": {
		clause: "RFC 8461, Sections 5 and 8.4",
		title:  "All mail is held back",
		text:   "The policy is in mode enforce, and no MX host satisfies it: {hosts}.{same}",
		effect: "Senders keep each message and try again for some days. Then they return it.",
		mend:   "Mend the causes first. If they are your own and need time, publish mode testing under a new id: senders that see it deliver at once.",
		causes: []Code{"mx-not-listed", "mx-not-a-name", "mx-no-starttls", "mx-tls-failed", "mx-hello-too-large", "mx-tls-old", "mx-certificate-name",
			"mx-certificate-expired", "mx-certificate-untrusted"},
	},
}}

var probeSection = section{StepProbe, "RFC 8461, Section 4.2", heldHere, wouldBeHeld, map[Code]entry{
	"mx-unreachable": {
		severity: CouldNotTell, clause: "RFC 5321, Section 5.1",
		title:  "No session with {mx}",
		text:   "No SMTP session with {mx} could be opened: {error}. Many networks block port 25 for machines that are no mail servers, this one perhaps too.",
		effect: "Not known.",
		mend:   "Try it from a mail server. If that fails as well, check the host and its firewall.",
	},
	"mx-not-public": {
		severity: CouldNotTell, clause: "RFC 5321, Section 5.1",
		title:  "{mx} has no public address",
		text:   "{mx} has no address that the whole Internet can reach, and was not tried: {error}.",
		effect: "Senders elsewhere cannot deliver to {mx}.",
		mend:   "Publish a public address for the host, or remove its MX record.",
	},
	"mx-no-starttls": {
		title: "{mx} has no STARTTLS",
		text:  "STARTTLS {error}. It may be switched off at the host, or something on the way removes it, as some firewalls do.",
		mend:  "Switch STARTTLS on at the host, with a certificate for {mx}. If it is on, try from another network.",
	},
	"mx-tls-failed": {
		clause: "RFC 8461, Sections 4.2 and 7.2",
		title:  "No TLS session with {mx}",
		text:   "{mx} offers STARTTLS, but TLS failed: {error}.",
		mend:   "Check the TLS settings and the certificate files of the host, in its own log.",
	},
	"mx-hello-too-large": {
		clause:   "RFC 8446, Section 4.1.2",
		title:    "{mx} cannot take the hello of a current sender",
		text:     "With a key exchange that resists quantum computers, the hello of TLS does not fit into one packet, and the session with {mx} failed: {error}. Without that key exchange it succeeded. The host, or something in front of it, reads only the first packet.",
		effect:   "Current senders deliver nothing to {mx}. Older ones do.",
		observed: "Current senders get no TLS with {mx}, and fall back to clear text. Under a policy in mode enforce they would deliver nothing to it.",
		mend:     "Update the mail server, or the firewall or load balancer in front of it.",
	},
	"mx-tls-old": {
		clause: "RFC 8461, Section 7.2",
		title:  "{mx} knows only old versions of TLS",
		text:   "The session with {mx} was in {version}. A policy demands TLS 1.2 or later.",
		mend:   "Switch TLS 1.2 and 1.3 on at the host.",
	},
}}

var mxCertificates = section{StepProbe, "RFC 8461, Section 4.2", heldHere, wouldBeHeld,
	certificates("mx", "None now. After that senders under mode enforce deliver nothing to {name}.")}
