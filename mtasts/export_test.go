package mtasts

import "time"

// Reseal is a stored entry with another fetch time, and when it expires then.
func Reseal(domain string, value []byte, fetched time.Time) (entry []byte, expires time.Time) {
	p, used, err := decodeEntry(domain, value, parseFile)
	if err != nil {
		panic(err)
	}
	expires = fetched.Add(p.Expires.Sub(p.Fetched))
	p.Fetched, p.stamp = fetched, fetched
	entry = encodeEntry(p, used)
	return entry, expires
}

// UsedAt is the last use of a domain, as a stored entry says.
func UsedAt(domain string, value []byte) (time.Time, error) {
	_, used, err := decodeEntry(domain, value, parseFile)
	return used, err
}

// IDOf is the id of the policy in a stored entry.
func IDOf(domain string, value []byte) (string, error) {
	p, _, err := decodeEntry(domain, value, parseFile)
	if err != nil {
		return "", err
	}
	return p.ID, nil
}
