package diagnose

var domainSection = section{StepDomain, "RFC 5321, Section 2.3.5", "", "", map[Code]entry{
	"domain-invalid": {
		title:  "This is not a domain name",
		text:   "{error}.",
		effect: "No mail can be addressed to it.",
		mend:   "Ask about the part of the address after the @.",
	},
	"address-literal": {
		severity: Notice, clause: "RFC 8461, Section 3.4",
		title:  "An address literal has no policy",
		text:   "{asked} is an IP address in the place of a domain. A policy belongs to a domain.",
		effect: "MTA-STS does not apply to such mail.",
		mend:   "Use a domain name to protect the mail.",
	},
	"diagnosis-incomplete": {
		severity: CouldNotTell, clause: "RFC 8461, Section 3.3",
		title:  "The diagnosis ran out of time",
		text:   "The time ended before everything was examined. Steps without a result are marked as unknown or not tested.",
		effect: "Not known. Senders may time out as well if a server is that slow.",
		mend:   "Try again. If it happens often, find the slow server among the steps that are unknown.",
	},
}}

var recordSection = section{StepRecord, "RFC 8461, Section 3.1", unprotected, "", map[Code]entry{
	"record-missing": {
		severity: Notice,
		title:    "No MTA-STS record",
		text:     "{name} has no TXT record that begins with v=STSv1; and without one senders do not ask for a policy.",
		mend:     "Nothing is wrong if {domain} has no policy. To publish one, publish the policy file first, then this record. Change the id each time the file changes.",
	},
	"policy-unannounced": {
		title: "The policy file is there, but no record announces it",
		text:  "https://{host}/.well-known/mta-sts.txt is a valid policy. Without a TXT record at {name}, no sender asks for it.",
		mend:  "Publish this record.",
	},
	"record-vanished": {
		title: "The MTA-STS record has gone",
		text:  "This sender has a policy of {domain} cached, and {name} has no MTA-STS record any more. Either the record was removed, or somebody forges the DNS so that senders do not find it.",
		mend:  "If nobody removed the record, check the name servers and the account at the registrar. If somebody did, publish this record again. To end a policy, publish mode none first.",
	},
	"record-many": {
		title: "More than one MTA-STS record",
		text:  "{name} has {count} TXT records that begin with v=STSv1; and exactly one is allowed. Senders behave as if there were none.",
		mend:  "Remove all of them but one.",
	},
	"record-near-miss": {
		title: "A TXT record is nearly an MTA-STS record",
		text:  "A TXT record of {name} was meant to be the MTA-STS record, and does not count as one. What is wrong with it: {flaws}.",
		mend:  "Replace it with this record. It must begin with exactly v=STSv1; in this case. Quotation marks and backslashes belong to the notation of a zone file, not to the record. Many web forms add them automatically.",
	},
	"record-wrong-name": {
		title: "The MTA-STS record has the wrong name",
		text:  "There is an MTA-STS record at {found}. Senders ask for {name} alone.",
		mend:  "Remove that record, and publish this one.",
	},
	"record-at-parent": {
		severity: Warning, clause: "RFC 8461, Section 3.4",
		title: "Only a parent domain has an MTA-STS record",
		text:  "{found} has an MTA-STS record, and {name} has none. A policy covers one domain and not those below it.",
		mend:  "If {domain} receives mail, give it this record and a policy host of its own. Both may be CNAMEs to those of the parent, if the certificate of the policy host also names {host}.",
	},
	"record-alias-dangling": {
		clause: "RFC 8461, Section 8.2",
		title:  "The MTA-STS record is an alias that leads nowhere",
		text:   "{name} is a CNAME, and its target {found} has no MTA-STS record.",
		mend:   "Ask the operator of {found} to publish the record there. Or remove the CNAME, and publish this record in its place.",
	},
	"record-invalid": {
		title: "The MTA-STS record is malformed",
		text:  "The record of {name} {error}. Senders must treat a malformed record as if there were none.",
		mend:  "Replace it with this record. An id has letters and digits alone, 32 at most: no hyphens, dots or colons. Nothing but a semicolon may follow it.",
	},
	"record-loose-delimiter": {
		severity: Warning, clause: "RFC 8461, Section 3.1, and erratum 6285",
		title:  "White space before the first semicolon of the record",
		text:   "A record has to begin with v=STSv1; without a space. The grammar of RFC 8461 allows one, and so does this sender.",
		effect: "Some senders find no policy, and deliver without protection.",
		mend:   "Replace the record with this one.",
	},
	"record-dns-failure": dnsFailure("the MTA-STS record", "A sender without a cached policy delivers as if there were none. One with a cached policy applies it."),
}}
