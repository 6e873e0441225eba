package diagnose

// Effects that several findings have.
const (
	unprotected = "Senders find no policy for {domain}. They deliver, but an attacker on the way can switch TLS off or divert the mail. Senders that have an older policy cached keep to it until it expires."

	fetchFails = "Senders cannot get the policy. One that has none cached delivers without protection; one that has an older policy cached keeps to it until it expires."
)

var recordCatalogue = map[Code]entry{
	"domain-invalid": {
		severity: Error, step: StepDomain, clause: "RFC 5321, Section 2.3.5",
		title:  "This is not a domain name",
		text:   "{error}.",
		effect: "No mail can be addressed to it.",
		mend:   "Ask about the part of the address after the @.",
	},
	"address-literal": {
		severity: Notice, step: StepDomain, clause: "RFC 8461, Section 3.4",
		title:  "An address literal has no policy",
		text:   "{asked} is an IP address in the place of a domain. A policy belongs to a domain.",
		effect: "MTA-STS does not apply to such mail.",
		mend:   "Use a domain name if the mail is to be protected.",
	},
	"diagnosis-incomplete": {
		severity: CouldNotTell, step: StepDomain, clause: "RFC 8461, Section 3.3",
		title:  "The diagnosis ran out of time",
		text:   "The time for the diagnosis ended before everything was examined. Steps without a result are marked as unknown or not tested.",
		effect: "Not known. Servers that are so slow can make senders time out as well.",
		mend:   "Try again. If it happens often, find the slow server among the steps that are unknown.",
	},
	"record-missing": {
		severity: Warning, step: StepRecord, clause: "RFC 8461, Section 3.1",
		title:  "No MTA-STS record",
		text:   "{name} has no TXT record that begins with v=STSv1; and without one senders do not ask for a policy.",
		effect: unprotected,
		mend:   "Publish the policy file first, then this record. Change the id each time the file changes.",
		causes: []Code{"record-near-miss", "record-wrong-name", "record-at-parent", "record-alias-dangling"},
	},
	"policy-unannounced": {
		severity: Error, step: StepRecord, clause: "RFC 8461, Section 3.1",
		title:  "The policy file is there, but no record announces it",
		text:   "https://{host}/.well-known/mta-sts.txt is a valid policy. Without a TXT record at {name}, no sender asks for it.",
		effect: unprotected,
		mend:   "Publish this record.",
		causes: []Code{"record-near-miss", "record-wrong-name", "record-alias-dangling"},
	},
	"record-many": {
		severity: Error, step: StepRecord, clause: "RFC 8461, Section 3.1",
		title:  "More than one MTA-STS record",
		text:   "{name} has {count} TXT records that begin with v=STSv1; and exactly one is allowed. Senders then behave as if there were none.",
		effect: unprotected,
		mend:   "Remove all of them but one.",
	},
	"record-near-miss": {
		severity: Error, step: StepRecord, clause: "RFC 8461, Section 3.1",
		title:  "A TXT record is nearly an MTA-STS record",
		text:   "A TXT record of {name} was surely meant to be the MTA-STS record, and does not count as one. What is wrong with it: {flaws}.",
		effect: unprotected,
		mend:   "Replace it with this record. It must begin with exactly v=STSv1; in this case. Quotation marks and backslashes belong to the notation of a zone file, not to the record. Many web forms add them automatically.",
	},
	"record-wrong-name": {
		severity: Error, step: StepRecord, clause: "RFC 8461, Section 3.1",
		title:  "The MTA-STS record stands at the wrong name",
		text:   "There is an MTA-STS record at {found}. Senders ask for {name} alone.",
		effect: unprotected,
		mend:   "Move the record to this name.",
	},
	"record-at-parent": {
		severity: Warning, step: StepRecord, clause: "RFC 8461, Section 3.4",
		title:  "Only a parent domain has an MTA-STS record",
		text:   "{found} has an MTA-STS record, and {name} has none. A policy covers one domain and not those below it.",
		effect: unprotected,
		mend:   "If {domain} receives mail, give it a record and a policy host of its own. Both may be CNAMEs to those of the parent, if the certificate of the policy host also names {host}.",
	},
	"record-alias-dangling": {
		severity: Error, step: StepRecord, clause: "RFC 8461, Section 8.2",
		title:  "The MTA-STS record is an alias that leads nowhere",
		text:   "{name} is a CNAME, and its target {found} has no MTA-STS record.",
		effect: unprotected,
		mend:   "Publish the record at the target, or take the CNAME away and publish the record here.",
	},
	"record-invalid": {
		severity: Error, step: StepRecord, clause: "RFC 8461, Section 3.1",
		title:  "The MTA-STS record is malformed",
		text:   "The record of {name} {error}. Senders must treat a malformed record as if there were none.",
		effect: unprotected,
		mend:   "Replace it with this record. Take care that nothing but a semicolon stands behind the id.",
	},
	"record-invalid-id": {
		severity: Error, step: StepRecord, clause: "RFC 8461, Section 3.1",
		title:  "The id of the MTA-STS record is invalid",
		text:   "The record of {name} {error}. Hyphens, dots and colons are not allowed in it. Senders must treat the record as if there were none.",
		effect: unprotected,
		mend:   "Replace it with this record. The time of the change makes a good id.",
	},
	"record-loose-delimiter": {
		severity: Warning, step: StepRecord, clause: "RFC 8461, Section 3.1, and erratum 6285",
		title:  "White space before the first semicolon of the record",
		text:   "The text of RFC 8461 wants a record to begin with v=STSv1; without a space. Its grammar allows one, and so does this sender.",
		effect: "Some senders find no policy, and deliver without protection.",
		mend:   "Take the white space away.",
	},
	"record-dns-failure": {
		severity: CouldNotTell, step: StepRecord, clause: "RFC 8461, Section 3.3",
		title:  "The DNS gave no answer for the MTA-STS record",
		text:   "Whether {name} has a record could not be found out: {error}.",
		effect: "A sender without a cached policy delivers as if there were none; one with a cached policy keeps to it.",
		mend:   "Try again. If it lasts, check the name servers of {domain} and its DNSSEC signatures.",
	},
}
