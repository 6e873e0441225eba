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
