package diagnose

import "strings"

// droppedRoots are roots that a large root store no longer trusts for TLS servers while
// others do, by common name. Whoever made a list of all of them would have to keep it up
// to date: these are those at which chains of mail servers have ended in recent years.
var droppedRoots = map[string]string{
	"GlobalSign Root CA":        mozilla2025,
	"AAA Certificate Services":  mozilla2025,
	"Baltimore CyberTrust Root": mozilla2025,

	"DigiCert Global Root CA":            mozilla2026,
	"DigiCert Assured ID Root CA":        mozilla2026,
	"DigiCert High Assurance EV Root CA": mozilla2026,
	"SwissSign Gold CA - G2":             mozilla2026,
	"SecureTrust CA":                     mozilla2026,
	"Secure Global CA":                   mozilla2026,

	"Entrust Root Certification Authority":       entrust,
	"Entrust Root Certification Authority - EC1": entrust,
	"Entrust Root Certification Authority - G2":  entrust,
	"Entrust Root Certification Authority - G4":  entrust,
	"AffirmTrust Commercial":                     entrust,
	"AffirmTrust Networking":                     entrust,
	"AffirmTrust Premium":                        entrust,
	"AffirmTrust Premium ECC":                    entrust,
}

// droppedAsOf is when droppedRoots was last compared with what the root stores announce.
const droppedAsOf = "November 2026"

const (
	mozilla2025 = "Mozilla, whose root store most Linux systems use, dropped it for its age in April 2025"
	mozilla2026 = "Mozilla, whose root store most Linux systems use, dropped it for its age in April 2026"
	entrust     = "Chrome, Mozilla and Apple trust no certificate below it that was issued after November 2024"
)

// droppedRoot returns the root at which a chain ends, or would end, if others have dropped
// it, and who has.
func droppedRoot(t *TLS) (root, who string) {
	end := ""
	switch {
	case t.Root != nil:
		end = t.Root.Subject
	case t.Result == "certificate-not-trusted" && len(t.Chain) > 0:
		end = t.Chain[len(t.Chain)-1].Issuer
	}
	// A subject is "CN=name,OU=...", with some characters escaped that no name here has.
	for part := range strings.SplitSeq(end, ",") {
		name, ok := strings.CutPrefix(part, "CN=")
		if who = droppedRoots[name]; ok && who != "" {
			return name, who
		}
	}
	return "", ""
}
