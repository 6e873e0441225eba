package diagnose

var hostSection = section{StepHost, "RFC 8461, Section 3.3", fetchFails, "", map[Code]entry{
	"host-missing": {
		title: "The policy host does not exist",
		text:  "{host} has no address in the DNS, so senders cannot fetch the policy file.",
		mend:  "Give {host} an A or AAAA record, or a CNAME to the web host that serves the file.",
	},
	"host-dns-failure": dnsFailure("the policy host", fetchFails),
	"host-not-public": {
		title: "The policy host has no public address",
		text:  "{host} has no address that the whole Internet can reach: {error}.",
		mend:  "Publish public addresses for {host}. If this sender is to reach it inside a network of its own, allow that network.",
	},
	"host-unreachable": {
		title: "The policy host takes no connection",
		text:  "No connection to {host} on port 443 could be made: {error}.",
		mend:  "Start a web server on port 443 of {host}, and open the port in its firewall for everybody.",
	},
	"host-timeout": {
		title: "The policy host is too slow",
		text:  "{host} did not give a whole answer in time: {error}.",
		mend:  "Serve the file from a host that answers within seconds. Make sure that each address of {host} works, those of IPv6 too.",
	},
}}

var tlsSection = section{StepTLS, "RFC 8461, Section 3.3", fetchFails, "", map[Code]entry{
	"host-tls-failed": {
		clause: "RFC 8461, Sections 3.3 and 7.2",
		title:  "No TLS session with the policy host",
		text:   "{host} takes connections on port 443, but TLS failed: {error}.",
		mend:   "Switch TLS 1.2 and 1.3 on in the web server, for the name {host}.",
	},
	"no-authorities": {
		severity: CouldNotTell,
		title:    "This machine has no CA certificates",
		text:     "This machine trusts no authority, so it cannot verify any certificate.",
		effect:   "This machine can fetch no policy. Nothing is known to be wrong with {domain}.",
		mend:     "Install the CA certificates of the system, on most systems the package ca-certificates.",
	},
	"root-dropped": {
		severity: Warning, clause: "RFC 8461, Sections 3.3 and 4.2",
		title:  "The chain of {name} ends at a root that others have dropped",
		text:   "The chain of {name} ends at {root}. {who}. (The list of such roots here is of {date}.)",
		effect: "Senders whose root store is newer refuse the certificate. A sender with an older one accepts it.",
		mend:   "Get a certificate from an authority whose root is in the current root stores, or send the chain to another root of the same authority.",
	},
}}

var hostCertificates = section{StepTLS, "RFC 8461, Section 3.3", fetchFails, "",
	certificates("host", "None now. After that senders cannot get the policy.")}

var answerSection = section{StepAnswer, "RFC 8461, Section 3.3", fetchFails, "", map[Code]entry{
	"answer-redirect": {
		title: "The policy host redirects",
		text:  "{url} is answered with {status} and a redirect to {location}. Senders must not follow it.",
		mend:  "Serve the file with status 200 at that very address. In the web server, let the rule for /.well-known/mta-sts.txt come before the redirect.",
	},
	"answer-not-found": {
		title: "The policy file is not there",
		text:  "{host} answers {status} to a request for /.well-known/mta-sts.txt.",
		mend:  "Put a file such as this one at {url}. List only MX hosts that are yours or your provider's. Some web servers and frameworks hide folders that begin with a dot, and need a rule for .well-known.",
	},
	"answer-status": {
		title: "The policy host answers with an error",
		text:  "{url} is answered with status {status}, and only 200 counts.",
		mend:  "Serve the file with status 200 to everybody, without login and to every country.",
	},
	"answer-bot-check": {
		title: "The policy host turns programs away",
		text:  "{url} is answered with {status} for a mail server. The same request with the User-Agent of a browser is answered with {browser}. Something in front of the host lets only browsers pass.",
		mend:  "Exempt /.well-known/mta-sts.txt from bot checks, challenges and rate limits. Mail servers run no JavaScript.",
	},
	"answer-html": {
		title: "The policy file is a web page",
		text:  "{url} answers with a page in HTML in place of a policy.",
		mend:  "Put a plain text file such as this one there. List only MX hosts that are yours or your provider's. A web application that answers every address with its start page needs an exception for it.",
	},
	"answer-media-type": {
		clause: "RFC 8461, Section 3.2",
		title:  "The policy file has the wrong media type",
		text:   "The file is served as {type}. It must be text/plain.",
		mend:   "Let the web server send this header field with the file.",
	},
	"answer-media-type-missing": {
		severity: Notice, clause: "RFC 8461, Section 3.2",
		title:  "The policy file has no media type",
		text:   "The answer has no Content-Type. This sender accepts that; the type should be text/plain.",
		effect: "Stricter senders may refuse the file.",
		mend:   "Let the web server send this header field with the file.",
	},
	"answer-too-large": {
		title: "The answer is too large",
		text:  "The answer of {host} is larger than a sender reads: {error}. A policy file may have 64 KiB.",
		mend:  "Serve a short file: four lines are enough. Wildcards such as mx: *.{domain} keep the list of MX hosts short.",
	},
	"answer-broken": {
		clause: "RFC 9112, Section 8",
		title:  "The answer of the policy host is broken",
		text:   "{host} answered, but the answer ended early or is malformed: {error}. A part of a policy could pass for another policy, so senders refuse it.",
		mend:   "Check the web server, and what is in front of it, for aborted answers, a wrong Content-Length, and a compression that the client did not ask for.",
	},
	"answer-stale": {
		severity: Notice,
		title:    "The policy file comes from a cache",
		text:     "A cache in front of {host} has had its copy of the file for {age}.",
		effect:   "After a change of the policy, senders that see the new id may still get the old file, and keep it.",
		mend:     "When you change the file, purge it from the cache before you change the id. A short Cache-Control: max-age helps too.",
	},
}}
