package diagnose

var fileSection = section{StepFile, "RFC 8461, Section 3.2", fetchFails, "", map[Code]entry{
	"file-invalid": {
		title:  "The policy file is not valid",
		text:   "The file {error}.",
		mend:   "Correct the file. Names and values are case-sensitive, max_age is a number of seconds without a unit, and each MX host that is yours or your provider's has an mx line.",
		causes: []Code{"file-key-misspelt", "mx-pattern-odd"},
	},
	"file-key-misspelt": {
		severity: Warning,
		title:    "A field name in the policy file is misspelt",
		text:     "Senders skip line {line}: {key} is no field, and was meant to be {meant}. Names are case-sensitive.",
		effect:   "The line has no effect.",
		mend:     "Replace the line with this one.",
	},
	"file-line-ignored": {
		severity: Notice,
		title:    "A line of the policy file has no effect",
		text:     "Senders skip line {line}: {why}.",
		effect:   "None for this sender. Stricter ones may refuse the whole file.",
		mend:     "Remove the line.",
	},
	"file-repeated": {
		severity: Warning, clause: "RFC 8461, Section 3.2, last paragraph",
		title:  "A field of the policy file is repeated",
		text:   "Line {line} repeats {key}. The first line with that name counts, and senders skip this one.",
		effect: "The line has no effect, whatever its value is.",
		mend:   "Remove the line, or the one before it if that is out of date.",
	},
	"mx-pattern-odd": {
		severity: Warning, clause: "RFC 8461, Sections 3.2 and 4.1",
		title:  "An mx line can match no host",
		text:   "Line {line}, mx: {value}, matches nothing: {why}.",
		effect: "The line has no effect. An MX host that it was meant for counts as not listed.",
		mend:   "Write one host name to a line, in A-label form, or *. and a name. The asterisk stands for one whole label.",
	},
	"max-age-short": {
		severity: Warning, clause: "RFC 8461, Sections 3.2 and 10.2",
		title:  "max_age is under a day",
		text:   "Senders cache the policy for {seconds} seconds. Section 3.2 expects weeks or more.",
		effect: "A sender that does not write to {domain} each day has no policy cached. An attacker who blocks the policy host, or the record, for a few hours takes the protection away.",
		mend:   "Raise max_age to a week at least. To end a policy, publish mode none, with a max_age as long as the one before.",
	},
	"max-age-week": {
		severity: Notice, clause: "RFC 8461, Sections 3.2 and 10.2",
		title:  "max_age is under a week",
		text:   "Senders cache the policy for {seconds} seconds. Section 3.2 expects weeks or more.",
		effect: "A failure of the policy host over a few days, or an attack for as long, leaves senders without a policy.",
		mend:   "Raise max_age to a week or more. That does not lock a mistake in: senders see a new id within minutes.",
	},
	"max-age-capped": {
		severity: Notice,
		title:    "max_age is longer than allowed",
		text:     "max_age is {value}, and the most is 31557600, about a year. This sender applies that.",
		effect:   "None for this sender. Stricter ones may refuse the file.",
		mend:     "Replace the line with this one.",
	},
	"mode-testing": {
		severity: Notice, clause: "RFC 8461, Sections 3.2 and 5",
		title:  "The policy is in mode testing",
		text:   "Senders report failures and deliver all the same{since}.",
		effect: "Senders hold nothing back, and nothing is protected against an attacker.",
		mend:   "When reports show no failures, write this line in place of mode: testing, and then change the id of the record.",
	},
	"mode-none": {
		severity: Notice, clause: "RFC 8461, Sections 3.2 and 8.3",
		title:  "The policy has mode none",
		text:   "The file has mode none, by which a domain withdraws from MTA-STS.",
		effect: "Mail is delivered as without a policy.",
		mend:   "Wait until the max_age of every earlier policy has passed. Then the record and the file can be removed.",
	},
}}
