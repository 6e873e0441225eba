package mtasts

import "time"

// Reseal is a stored entry with another fetch time.
func Reseal(domain string, value []byte, fetched time.Time) []byte {
	p, used, err := decodeEntry(domain, value, parseFile)
	if err != nil {
		panic(err)
	}
	p.Fetched, p.stamp = fetched, fetched
	entry, _ := encodeEntry(p, used)
	return entry
}

// UsedAt is the last use of a domain, as a stored entry says.
func UsedAt(domain string, value []byte) (time.Time, error) {
	_, used, err := decodeEntry(domain, value, parseFile)
	return used, err
}
