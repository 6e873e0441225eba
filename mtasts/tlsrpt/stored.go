package tlsrpt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// The store has what was counted in parts: under the day, a hash of the domain, and what
// tells one part from others, such as "20261127-0f3a...-17". Each part is written by one
// process only, which need not know of others. When the report is sent for the first time,
// they are made one, "20261127-0f3a...", which knows how far the report has come.
//
// The hash is also the moment at which the report is due, so that a walk through a day meets
// the reports in the order in which they are. Other keys begin with a letter.
const (
	refusedPrefix = "refused-" // and the id of a destination

	dayLayout = "20060102"
	baseSize  = len(dayLayout) + 1 + 32

	// keepDays is for how many days it is known that a report has been sent, lest it be
	// sent again if the clock is set back.
	keepDays = 8
)

// sending is how far a report has come.
type sending struct {
	ID           string // of the report; senders of one organization must not share it
	Tries        int
	Next         time.Time // when to try next
	Destinations []destination
}

// A destination is one that has been tried. It is handed the report before the first octet
// leaves, and settled when the receiver has answered. If the process ends in between, the
// report may have been delivered, and is not sent again.
type destination struct {
	ID    string // a hash of its URI
	State state
}

type state byte

const (
	failed state = iota // and worth another try
	handedOver
	accepted
	refused
)

func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

func startOf(day int64) time.Time { return time.Unix(day*24*60*60, 0).UTC() }

// dayKey is in front of all keys of a day.
func dayKey(day int64) string { return startOf(day).Format(dayLayout) }

// baseKey is the key of a domain and day. Not all senders are to send at one moment, so the hash
// has the contact. It does not have the day: a domain gets its reports at the same time each day.
func baseKey(contact string, day int64, domain string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s", contact, domain))
	return fmt.Sprintf("%s-%x", dayKey(day), sum[:16])
}

// splitKey takes the key of an entry, or of a part of it, apart.
func splitKey(key string) (day int64, base string, ok bool) {
	date, _, _ := strings.Cut(key, "-")
	t, err := time.Parse(dayLayout, date)
	if err != nil || len(key) < baseSize {
		return 0, "", false
	}
	return dayOf(t), key[:baseSize], true
}

// dueAt is when a report is first sent, spread over most of the following day (RFC 8460,
// Section 4.1: "delivered after some delay").
func dueAt(base string, day int64) time.Time {
	const first, span = 15 * time.Minute, 20 * time.Hour
	hash, _ := hex.DecodeString(base[len(dayLayout)+1:][:8])
	part := float64(binary.BigEndian.Uint32(append(hash, 0, 0, 0, 0))) / (1 << 32)
	return startOf(day + 1).Add(first + time.Duration(part*float64(span)))
}

// change is the stored form of e. A store would order the changes of a key by time, but the
// clock may be set; without a time, the last one counts.
func (e *entry) change() cache.Change {
	var b bytes.Buffer
	_ = gob.NewEncoder(&b).Encode(e) // does not fail: the types are known
	return cache.Change{Key: e.key, Value: b.Bytes(), Expires: startOf(e.day + 2*keepDays)}
}

// over is the stored form of an entry whose report is over: an empty value.
func (e *entry) over() cache.Change {
	return cache.Change{Key: e.key, Value: []byte{}, Expires: startOf(e.day + 2*keepDays)}
}

// decode returns the entry that value holds.
func decode(key string, value []byte) (*entry, error) {
	day, _, ok := splitKey(key)
	e := &entry{day: day, key: key}
	if err := gob.NewDecoder(bytes.NewReader(value)).Decode(e); err != nil || !ok {
		return nil, fmt.Errorf("tlsrpt: the store: the value of %+.60q is damaged: %w", key, err)
	}
	return e, nil
}

// gather reads the entry of a domain and day, without a Domain if its report is over. If no
// try has been made, the entry is all its parts, which are gone once the changes are written.
// Parts that come later are dropped.
func (c *Collector) gather(ctx context.Context, base string) (e *entry, gone []cache.Change, err error) {
	day, _, _ := splitKey(base)
	value, frozen, err := c.store.Get(ctx, base)
	e = &entry{day: day, key: base}
	if err == nil && len(value) > 0 {
		e, err = decode(base, value)
	}
	parts := &entry{day: day}
	for after, more := base, true; more && err == nil; {
		var keys []string
		var values [][]byte
		keys, values, err = c.store.Scan(ctx, after, scanBatch)
		more = len(keys) == scanBatch
		for i, key := range keys {
			if !strings.HasPrefix(key, base+"-") {
				more = false
				break
			}
			if part, err := decode(key, values[i]); err != nil {
				c.log.Error("tlsrpt: what was counted cannot be read, and is lost", "error", err)
			} else {
				parts.Domain = part.Domain
				parts.add(part)
			}
			gone, after = append(gone, cache.Change{Key: key}), key
		}
	}
	switch {
	case err != nil:
		return nil, nil, err
	case !frozen:
		e.Domain, e.Policies = parts.Domain, parts.Policies
	case len(gone) > 0:
		if c.save(ctx, gone...) {
			c.drop(parts, "they have come after the report about their day; has the clock been set back?")
		}
		gone = nil
	}
	return e, gone, nil
}
