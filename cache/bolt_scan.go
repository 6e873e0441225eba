package cache

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
)

// Scan returns copies of at most limit entries with keys greater than after, in
// byte order of the keys. It sees what is written meanwhile, or not. Fewer than
// limit entries mean that there are no more.
//
// Entries that cannot be read are left out: Scan returns the others, and beside
// them an error that says what was wrong first. To walk through the whole store,
// go on behind the last key as long as there are keys. If there is an error and
// no entry, nothing behind after can be read, or ctx has ended, or the store is
// closed.
func (b *Bolt) Scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error) {
	s := scan{from: max(after, firstKey) + "\x00", until: highKey, limit: limit, shared: &b.shared}
	for s.from < s.until && len(s.found) < limit {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		// One leaf at a time, so that nobody waits for a long Scan.
		err := b.view(func(r *reader, entries node) error {
			s.pending = b.pending
			s.leaf(r, entries)
			return nil
		})
		if err != nil {
			return nil, nil, b.wrap(err)
		}
	}
	for _, e := range s.found {
		keys, values = append(keys, e.key), append(values, e.value)
	}
	return keys, values, b.wrap(s.err)
}

// A scan collects entries in the order of their keys.
type scan struct {
	from    string // the keys still to come are not less
	until   string // and less than this
	limit   int
	shared  *sharedEnds
	pending map[string]*write // is newer than what the leaves have

	found []scanned
	err   error // the first that was met
}

type scanned struct {
	key   string
	value []byte
}

func (s *scan) note(err error) {
	if s.err == nil {
		s.err = err
	}
}

// leaf collects the entries of the leaf that from belongs to, and moves from behind
// them. Each time from becomes greater, and what it becomes is, or is just behind,
// a key in a page: however the pages hang together, that comes to an end.
func (s *scan) leaf(r *reader, entries node) {
	start, n := s.from, len(s.found)
	leaf, next, err := r.leaf(entries, []byte(s.from))
	if err != nil {
		s.note(err)
	}
	for i := 0; i < leaf.count && len(s.found) < s.limit; i++ {
		key := string(leaf.key(i))
		if key < s.from || key >= s.until {
			continue // if it is out of place, err has said so
		}
		if s.pending[key] != nil {
			continue
		}
		var value []byte
		rec, err := leaf.record(i)
		if err == nil {
			value, err = s.shared.value(r, entries, leaf.key(i), rec)
		}
		if err != nil {
			s.note(err)
			continue
		}
		s.found = append(s.found, scanned{key, value})
		s.from = key + "\x00"
	}
	if next == nil {
		next = []byte(highKey)
	}
	if len(s.found) < s.limit {
		s.from = max(s.from, string(next))
	}
	s.merge(start, n)
}

// merge adds what is pending from start up to where s is, in the place where it belongs
// among the entries behind the first n.
func (s *scan) merge(start string, n int) {
	before := len(s.found)
	for key, w := range s.pending {
		if start <= key && key < s.from {
			s.found = append(s.found, scanned{key, bytes.Clone(w.record.value)})
		}
	}
	if len(s.found) == before {
		return
	}
	slices.SortFunc(s.found[n:], func(a, b scanned) int { return strings.Compare(a.key, b.key) })
	if len(s.found) > s.limit {
		s.found = s.found[:s.limit] // and that is the end of the scan
	}
}

// leaf returns the leaf that key belongs to and the least key of those behind, nil
// if that is the last leaf. With an error, some of the leaf's entries or the whole
// leaf are missing; the walk can go on behind it all the same.
//
// Unlike walk, it looks at all keys of a branch and does not rely on their order,
// so that a damaged key hides no more than the page that it refers to.
func (r *reader) leaf(root node, key []byte) (leaf node, next []byte, err error) {
	n := root
	for range maxDepth {
		if !n.inOrder(next) {
			err = cmp.Or(err, error(errOrder))
		}
		if n.leaf {
			if _, found := n.search([]byte(highKey)); next == nil && !found {
				err = damage("the end of the entries is missing")
			}
			return n, next, err
		}
		// The two greatest keys that are not greater than key, and the least that is.
		below, before := -1, -1
		for i := range n.count {
			k := n.key(i)
			switch {
			case bytes.Compare(k, key) > 0:
				if next == nil || bytes.Compare(k, next) < 0 {
					next = k
				}
			case below < 0 || bytes.Compare(k, n.key(below)) > 0:
				below, before = i, below
			case before < 0 || bytes.Compare(k, n.key(before)) > 0:
				before = i
			}
		}
		if below < 0 {
			return node{}, next, errBeginning
		}
		c, childErr := r.child(n, below)
		if childErr != nil {
			err = cmp.Or(err, childErr)
			if before < 0 {
				return node{}, next, err
			}
			// If that key is the damaged one, key may belong below the one before.
			if c, childErr = r.child(n, before); childErr != nil {
				return node{}, next, err
			}
		}
		n = c
	}
	return node{}, next, errCircles
}
