package tlsrpt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
	"github.com/mtasts/go-mtasts/mtasts"
)

// These errors mean that a domain does not ask for reports, or not in a way that a
// sender may act upon (RFC 8460, Section 3): there is no record, or more than one, or it
// is malformed or names no destination that is supported. Their texts are printable
// ASCII of bounded length, whatever the record holds.
var (
	ErrNoRecord      = errors.New(`no TXT record begins with "v=TLSRPTv1;"`)
	ErrManyRecords   = errors.New(`more than one TXT record begins with "v=TLSRPTv1;"; exactly one must`)
	ErrInvalidRecord = errors.New("invalid TLSRPT record")
)

// isFinal reports whether an error of LookupRecord means that the domain gets no reports.
func isFinal(err error) bool {
	return errors.Is(err, ErrNoRecord) || errors.Is(err, ErrManyRecords) || errors.Is(err, ErrInvalidRecord)
}

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

// LookupRecord looks up the record of domain, at "_smtp._tls" below it. An error that
// wraps [ErrNoRecord], [ErrManyRecords] or [ErrInvalidRecord] is final: the domain gets
// no reports. Any other error means that it could not be found out, and the look-up is
// worth another try. It ends after 20 seconds, or when ctx does.
func LookupRecord(ctx context.Context, resolver mtasts.Resolver, domain string) (*Record, error) {
	return lookup(ctx, resolver, "_smtp._tls.", domain)
}

// LookupMisplaced is [LookupRecord] for the name "_smtp_tls" below domain, where some
// publishers put their record by mistake. It is for diagnosis: a record that stands there
// gets no report.
func LookupMisplaced(ctx context.Context, resolver mtasts.Resolver, domain string) (*Record, error) {
	return lookup(ctx, resolver, "_smtp_tls.", domain)
}

func lookup(ctx context.Context, resolver mtasts.Resolver, label, domain string) (*Record, error) {
	name, err := sts.Name(domain)
	if err != nil || len(label+name) > 253 {
		return nil, ErrNoRecord // no such name can exist (RFC 1035, Section 2.3.4)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	txts, err := resolver.LookupTXT(ctx, label+name+".")
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return nil, fmt.Errorf("%w: %w", ErrNoRecord, err)
	} else if err != nil {
		return nil, err
	}
	return FindRecord(txts)
}

// FindRecord picks the one TLSRPT record among the TXT records of a name, each with its
// character-strings already joined, and parses it by the grammar of RFC 8460, Section 3. A
// record above 4 KiB is invalid. Unknown fields are skipped if they are well formed. Where there
// are several rua fields, all count. The error wraps [ErrNoRecord], [ErrManyRecords] or
// [ErrInvalidRecord].
//
// Of a mailto: URI only the addresses count: header fields ("?subject=...") are ignored,
// because Section 5.3 says what the header holds. A comma between addresses is encoded as
// "%2C". An address whose local part is quoted or not in ASCII is an error, and so is a URI
// without a scheme.
func FindRecord(txts []string) (*Record, error) {
	// RFC 8460, Section 3: records that do not begin with "v=TLSRPTv1;" are discarded,
	// then exactly one must be left.
	ours := slices.DeleteFunc(slices.Clone(txts), func(txt string) bool { return !strings.HasPrefix(txt, "v=TLSRPTv1;") })
	switch {
	case len(ours) == 0:
		return nil, ErrNoRecord
	case len(ours) > 1:
		return nil, ErrManyRecords
	}
	txt := ours[0]
	switch {
	case len(txt) > 4<<10:
		return invalid("is longer than 4 KiB", txt)
	case !recordForm.MatchString(txt):
		return invalid(`is not of the form "v=TLSRPTv1; name=value; name=value"`, txt)
	}
	r := &Record{Raw: txt}
	for _, field := range strings.Split(txt, ";")[1:] {
		value, isRUA := strings.CutPrefix(strings.Trim(field, " \t"), "rua=")
		if !isRUA {
			continue
		}
		for _, text := range comma.Split(value, -1) {
			uris, problem := parseURI(text)
			if problem != "" {
				return invalid(problem, text)
			}
			for _, u := range uris {
				// Section 3: a sender "MAY attempt to deliver to each". The bound
				// keeps a record from sending reports to a crowd.
				if len(r.RUA) < 10 && !slices.Contains(r.RUA, u) {
					r.RUA = append(r.RUA, u)
				}
			}
		}
	}
	if len(r.RUA) == 0 {
		return invalid("has no rua with a mailto: or https: URI", txt)
	}
	return r, nil
}

var (
	// recordForm is tlsrpt-record; uriForm is then held against each tlsrpt-uri.
	recordForm = regexp.MustCompile(`\Av=TLSRPTv1(` + delim + `(rua=[^;]*[^; \t]|[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[!-:<>-~]+))+(` + delim + `)?\z`)
	comma      = regexp.MustCompile(`[ \t]*,[ \t]*`)
	// uriForm is a URI of RFC 3986, as far as octets go, without "," "!" and ";".
	uriForm = regexp.MustCompile(`\A[A-Za-z][A-Za-z0-9+.-]*:([A-Za-z0-9._~:/?#\[\]@$&'()*+=-]|%[0-9A-Fa-f]{2})*\z`)
	// dotAtom is dot-atom-text of RFC 5322, Section 3.2.3.
	dotAtom = regexp.MustCompile("\\A" + atom + "(\\." + atom + ")*\\z")
)

const (
	delim = `[ \t]*;[ \t]*`
	atom  = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
)

// parseURI returns the destinations of one URI, none if its scheme is not supported, or
// says what is wrong with it.
func parseURI(s string) (uris []URI, problem string) {
	u, err := url.Parse(s)
	switch {
	case !strings.Contains(s, ":"):
		return nil, `has a URI without a scheme, such as "mailto:" or "https:",`
	case err != nil || !uriForm.MatchString(s):
		return nil, `has a malformed URI ("!" is to be encoded as "%21")`
	case u.Scheme == "mailto":
		list, _ := url.PathUnescape(u.Opaque) // uriForm has checked the encoding
		for text := range strings.SplitSeq(list, ",") {
			addr := parseAddress(text)
			if addr == "" {
				return nil, "has a mailto: URI without a usable address"
			}
			uris = append(uris, URI{Address: addr})
		}
	case u.Scheme == "https":
		if u.User != nil || u.Hostname() == "" {
			return nil, "has an https: URI without a usable host"
		}
		uris = []URI{{URL: s}}
	}
	return uris, ""
}

// parseAddress returns an address that needs neither quoting nor SMTPUTF8, with its domain
// as lower-case A-labels, or "".
func parseAddress(s string) string {
	local, domain, _ := strings.Cut(s, "@")
	domain, err := sts.Name(domain)
	// RFC 5321, Section 4.5.3.1: 64 octets for a local part, 254 for an address.
	if err != nil || len(local) > 64 || len(local)+len(domain) > 253 || !dotAtom.MatchString(local) {
		return ""
	}
	return local + "@" + domain
}

func invalid(problem, at string) (*Record, error) {
	return nil, fmt.Errorf("%w: %s at %+.40q", ErrInvalidRecord, problem, at)
}
