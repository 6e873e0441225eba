package mtasts

import "time"

// Reseal returns a stored entry with another fetch time, and when it then expires.
func Reseal(domain string, value []byte, fetched time.Time) (entry []byte, expires time.Time) {
	p, used, err := decodeEntry(domain, value, parseFile)
	if err != nil {
		panic(err)
	}
	expires = fetched.Add(p.Expires.Sub(p.Fetched))
	p.Fetched, p.Expires, p.stamp = fetched, expires, fetched
	entry = encodeEntry(p, used)
	return entry, expires
}

// UsedAt returns the last use of a domain from a stored entry.
func UsedAt(domain string, value []byte) (time.Time, error) {
	_, used, err := decodeEntry(domain, value, parseFile)
	return used, err
}

// IDOf returns the id of the policy in a stored entry.
func IDOf(domain string, value []byte) (string, error) {
	p, _, err := decodeEntry(domain, value, parseFile)
	if err != nil {
		return "", err
	}
	return p.ID, nil
}
