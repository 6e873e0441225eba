package diagnose

var daneSection = section{StepDANE, "RFC 8461, Section 2, and RFC 7672", "", "", map[Code]entry{
	"dane-present": {
		severity: Notice,
		title:    "DANE protects {mx} as well",
		text:     "{name} has TLSA records that DNSSEC confirms.",
		effect:   "A sender that knows DANE applies these records first. When they fail, MTA-STS must not override that.",
		mend:     "Nothing needs to be done. Keep both up to date when the certificate changes.",
	},
}}

var tlsrptSection = section{StepReport, "RFC 8460, Section 3", "None on mail. The domain gets no reports.", "", map[Code]entry{
	"tlsrpt-missing": {
		severity: Warning, clause: "RFC 8460, Section 3, and RFC 8461, Section 5",
		title:  "Mode testing, and nobody receives the reports",
		text:   "Mode testing shows failures before they hold mail back. {name} has no record that asks for reports.",
		effect: "None on mail. Failures stay unseen until the mode is enforce.",
		mend:   "Publish this record, with an address that somebody reads.",
	},
	"tlsrpt-misplaced": {
		severity: Warning,
		title:    "The record that asks for reports has the wrong name",
		text:     "There is a TLS reporting record at {found}. Senders ask for {name} alone.",
		mend:     "Remove that record, and publish this one.",
	},
	"tlsrpt-invalid": {
		severity: Warning,
		title:    "The record that asks for reports is invalid",
		text:     "The TLS reporting record of {name} cannot be used: {error}.",
		mend:     "Replace it with this record, with an address that somebody reads.",
	},
	"tlsrpt-dns-failure": dnsFailure("the record that asks for reports", "None on mail."),
}}

var cachedSection = section{StepCached, "RFC 8461, Section 5.1", "", "", map[Code]entry{
	"id-unchanged": {
		clause: "RFC 8461, Sections 3.1 and 8.1",
		title:  "The policy has changed, and the id has not",
		text:   "The file published now differs from the one that was cached under the same id, {id}.",
		effect: "Senders that have the old policy apply it until they refresh it. If it no longer fits the MX hosts, they hold mail back.",
		mend:   "Publish this record. Change the id each time the file changes.",
	},
	"file-behind-record": {
		severity: Warning, clause: "RFC 8461, Section 8.1",
		title:  "The id is new, and the file is still the old one",
		text:   "The record has the id {id}, and the cached policy was fetched under {old}. The file is the same. Either a cache in front of the policy host still has the old file, or only the id was changed.",
		effect: "Senders that see the new id fetch the old file under it, and may keep it for long.",
		mend:   "If the file is as it should be, nothing needs to be done. Otherwise change the file, purge caches, and then change the id once more.",
		causes: []Code{"answer-stale"},
	},
	"cached-differs": {
		severity: Notice,
		title:    "The cached policy is older than the published one",
		text:     "The cached policy, id {old}, differs from what is published now under {id}.",
		effect:   "The sender applies the cached policy until it sees the new id, at the next message or soon after.",
		mend:     "Nothing needs to be done.",
	},
	"cached-in-use": {
		severity: Warning, clause: "RFC 8461, Sections 3.3 and 5.1",
		title:  "The sender applies its cached policy",
		text:   "What is published now cannot be used. The cached policy, id {old}, is valid until {until}.",
		effect: "The sender applies the cached policy until then, and has none after that.",
		mend:   "Mend the findings about the record and the policy host before that time.",
	},
	"cached-refresh-failing": {
		severity: Warning, clause: "RFC 8461, Section 10.2",
		title:  "Refreshes of the cached policy fail",
		text:   "{count} failed, the first on {since}.",
		effect: "The cached policy is valid until {until}. If no refresh succeeds by then, mail is no longer protected.",
		mend:   "Mend the findings about the policy host. If there are none, this sender cannot reach it: check its network and its root certificates.",
	},
}}
