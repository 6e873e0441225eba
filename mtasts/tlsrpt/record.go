package tlsrpt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
	"github.com/mtasts/go-mtasts/mtasts"
)

const (
	recordVersion = "v=TLSRPTv1"
	recordLabel   = "_smtp._tls."

	maxRecord       = 4 << 10 // octets; a record is kept for each domain
	maxDestinations = 10

	// lookupLimit ends a look-up whose resolver has no limit of its own.
	lookupLimit = 20 * time.Second
)

// These errors mean that a domain does not ask for reports, or not in a way that a
// sender may act upon (RFC 8460, Section 3). Their texts are printable ASCII of bounded
// length, whatever the record holds.
var (
	// ErrNoRecord: there is no TXT record, or none begins with "v=TLSRPTv1;".
	ErrNoRecord = errors.New(`no TXT record begins with "v=TLSRPTv1;"`)

	// ErrManyRecords: more than one TXT record begins with "v=TLSRPTv1;".
	ErrManyRecords = errors.New(`more than one TXT record begins with "v=TLSRPTv1;"; exactly one must`)

	// ErrInvalidRecord: the one record is malformed, or names no destination that is
	// supported.
	ErrInvalidRecord = errors.New("invalid TLSRPT record")
)

// A Record is the TLSRPT policy of a domain (RFC 8460, Section 3).
type Record struct {
	// RUA holds the destinations in the order of the record, each once: at least one
	// and at most ten. Later ones are ignored, as is a URI with a scheme other than
	// mailto and https. A mailto: URI with several addresses gives one destination
	// for each.
	RUA []URI

	// Raw is the record as published. It is not trusted: escape it before it is logged.
	Raw string
}

// A URI is one destination of reports. Exactly one of its fields is set.
type URI struct {
	// Address is a mail address of a mailto: URI, percent-decoded. Its local part is a
	// dot-atom in ASCII, its domain a lower-case A-label without a final dot.
	Address string

	// URL is an https: URI as published, with a host and without user information.
	URL string
}

// String returns the URI as it stands in a record: "," "!" and ";" are encoded.
func (u URI) String() string {
	if u.URL != "" {
		return u.URL
	}
	return "mailto:" + url.PathEscape(u.Address)
}

// String returns a record with the same destinations.
func (r *Record) String() string {
	var b strings.Builder
	for _, u := range r.RUA {
		b.WriteString("," + u.String())
	}
	return recordVersion + "; rua=" + strings.TrimPrefix(b.String(), ",")
}

// LookupRecord looks up the record of domain, at "_smtp._tls" below it. An error that
// wraps [ErrNoRecord], [ErrManyRecords] or [ErrInvalidRecord] is final: the domain gets
// no reports. Any other error means that it could not be found out, and the look-up is
// worth another try. It ends after 20 seconds, or when ctx does.
func LookupRecord(ctx context.Context, resolver mtasts.Resolver, domain string) (*Record, error) {
	return lookup(ctx, resolver, recordLabel, domain)
}

// LookupMisplaced is [LookupRecord] for the name "_smtp_tls" below domain, where some
// publishers put their record by mistake. It is for diagnosis: no report is sent to a
// record that stands there.
func LookupMisplaced(ctx context.Context, resolver mtasts.Resolver, domain string) (*Record, error) {
	return lookup(ctx, resolver, "_smtp_tls.", domain)
}

func lookup(ctx context.Context, resolver mtasts.Resolver, label, domain string) (*Record, error) {
	name, err := sts.Name(domain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoRecord, err)
	}
	name = label + name
	if len(name) > 253 {
		return nil, ErrNoRecord // no such name can exist (RFC 1035, Section 2.3.4)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	txts, err := resolver.LookupTXT(ctx, name+".")
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return nil, fmt.Errorf("%w: %w", ErrNoRecord, err)
	} else if err != nil {
		return nil, err
	}
	return FindRecord(txts)
}

// FindRecord picks the one TLSRPT record among the TXT records of a name, each with its
// character-strings already joined, and parses it. A record above 4 KiB is invalid. The
// error wraps [ErrNoRecord], [ErrManyRecords] or [ErrInvalidRecord].
func FindRecord(txts []string) (*Record, error) {
	// RFC 8460, Section 3: records that do not begin with "v=TLSRPTv1;" are discarded,
	// then exactly one must be left.
	n, one := 0, ""
	for _, txt := range txts {
		if strings.HasPrefix(txt, recordVersion+";") {
			n, one = n+1, txt
		}
	}
	switch {
	case n == 0:
		return nil, ErrNoRecord
	case n > 1:
		return nil, ErrManyRecords
	case len(one) > maxRecord:
		return nil, fmt.Errorf("%w: is longer than %d octets", ErrInvalidRecord, maxRecord)
	}
	return ParseRecord(strings.Clone(one))
}

// ParseRecord parses one TXT record by the grammar of RFC 8460, Section 3. Fields that
// it does not know are skipped if they are well formed. Where there are several rua
// fields, the destinations of all count. Any error wraps [ErrInvalidRecord].
//
// Of a mailto: URI only the addresses count: header fields ("?subject=...") are ignored,
// because RFC 8460, Section 5.3 says what the header holds. Commas between several
// addresses are encoded as "%2C". An address whose local part is a quoted string or
// not in ASCII is an error, and so is a URI without a scheme.
func ParseRecord(txt string) (*Record, error) {
	version, rest, found := strings.Cut(txt, ";")
	if !found || strings.TrimRight(version, wsp) != recordVersion {
		return invalid(`does not begin with "v=TLSRPTv1;"`, txt)
	}
	fields := strings.Split(rest, ";")
	if last := len(fields) - 1; strings.Trim(fields[last], wsp) == "" {
		fields = fields[:last] // the final delimiter is optional
	} else if strings.TrimRight(fields[last], wsp) != fields[last] {
		return invalid("ends in white space", fields[last])
	}
	r := &Record{Raw: txt}
	ruas := 0
	for _, field := range fields {
		field = strings.Trim(field, wsp)
		value, isRUA := strings.CutPrefix(field, "rua=")
		if !isRUA {
			if !extension.MatchString(field) {
				return invalid("wants a field name=value", field)
			}
			continue
		}
		ruas++
		for _, text := range comma.Split(value, -1) {
			uris, problem := parseURI(text)
			if problem != "" {
				return invalid(problem, text)
			}
			for _, u := range uris {
				// RFC 8460, Section 3: a sender "MAY attempt to deliver to each".
				// The bound keeps a record from sending reports to a crowd that
				// has not asked for them.
				if len(r.RUA) < maxDestinations && !slices.Contains(r.RUA, u) {
					r.RUA = append(r.RUA, u)
				}
			}
		}
	}
	switch {
	case ruas == 0:
		return invalid("has no rua", txt)
	case len(r.RUA) == 0:
		return invalid("has no URI with the scheme mailto or https", txt)
	}
	return r, nil
}

const wsp = " \t"

var (
	// extension is tlsrpt-extension.
	extension = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[!-:<>-~]+\z`)

	comma = regexp.MustCompile(`[ \t]*,[ \t]*`)

	// uriForm is tlsrpt-uri, as far as octets go: a URI of RFC 3986 without a literal
	// comma, exclamation mark or semicolon.
	uriForm = regexp.MustCompile(`\A[A-Za-z][A-Za-z0-9+.-]*:([A-Za-z0-9._~:/?#\[\]@$&'()*+=-]|%[0-9A-Fa-f]{2})*\z`)

	dotAtom = regexp.MustCompile("\\A" + atoms + "\\z")
)

// atoms is dot-atom-text of RFC 5322, Section 3.2.3.
const atoms = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"

// parseURI returns the destinations of one URI, none if its scheme is not supported, or
// says what is wrong with it.
func parseURI(s string) (uris []URI, problem string) {
	scheme, rest, found := strings.Cut(s, ":")
	switch {
	case s == "":
		return nil, "has an empty URI in its rua"
	case !found:
		return nil, `has a URI without a scheme, such as "mailto:" or "https:",`
	case strings.ContainsAny(s, "!"):
		return nil, `has a URI with an exclamation mark that is not encoded as "%21"`
	case !uriForm.MatchString(s):
		return nil, "has a malformed URI"
	}
	switch strings.ToLower(scheme) { // RFC 3986, Section 3.1
	case "mailto":
		if end := strings.IndexAny(rest, "?#"); end >= 0 {
			rest = rest[:end]
		}
		list, err := url.PathUnescape(rest)
		for addr := range strings.SplitSeq(list, ",") {
			addr, ok := parseAddress(addr)
			if !ok || err != nil || strings.HasPrefix(rest, "//") { // "//" begins a host
				return nil, "has a mailto: URI without a usable address"
			}
			uris = append(uris, URI{Address: addr})
		}
	case "https":
		u, err := url.Parse(s)
		if err != nil || u.User != nil || !isHost(u.Hostname()) {
			return nil, "has an https: URI without a usable host"
		}
		uris = []URI{{URL: s}}
	}
	return uris, ""
}

func isHost(s string) bool {
	_, err := sts.Name(s)
	addr, addrErr := netip.ParseAddr(s)
	return err == nil || addrErr == nil && addr.Zone() == ""
}

// parseAddress reports whether s is an address that needs neither quoting nor SMTPUTF8,
// and returns it with its domain as lower-case A-labels.
func parseAddress(s string) (addr string, ok bool) {
	local, domain, _ := strings.Cut(s, "@")
	domain, err := sts.Name(domain)
	// RFC 5321, Section 4.5.3.1: 64 octets for a local part, 254 for an address.
	if err != nil || len(local) > 64 || len(local)+len(domain) > 253 || !dotAtom.MatchString(local) {
		return "", false
	}
	return local + "@" + domain, true
}

func invalid(problem, at string) (*Record, error) {
	const most = 64
	if len(at) > most {
		at = at[:most]
	}
	return nil, fmt.Errorf("%w: %s at %s", ErrInvalidRecord, problem, strconv.QuoteToASCII(at))
}
