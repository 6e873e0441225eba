package sts

import (
	"bytes"
	"hash/maphash"
	"strings"
)

// Match reports whether host, an MX host as [Name] takes it, matches one of
// patterns, as held by [Policy].MX.
//
// RFC 8461, Section 4.1: a pattern is a name, or "*." and a name, in which the
// asterisk stands for exactly one label. "*.example.com" matches
// mail.example.com, but neither example.com nor foo.bar.example.com.
func Match(patterns []string, host string) bool {
	return (*Index)(nil).Match(patterns, host)
}

// An Index makes a match among many patterns cost little more than among few. Any
// number of callers may share it. Nil is the index of few patterns.
type Index struct {
	first *string // of the patterns, to know them again
	tags  []byte  // an octet of the hash of each
}

// NewIndex makes the index of patterns, as held by [Policy].MX, none of which may
// be changed from then on.
func NewIndex(patterns []string) *Index {
	const few = 8
	if len(patterns) <= few {
		return nil
	}
	tags := make([]byte, len(patterns))
	for i, p := range patterns {
		tags[i] = byte(maphash.String(seed, p))
	}
	return &Index{&patterns[0], tags}
}

// seed is drawn once, so that no publisher knows which patterns share a tag.
var seed = maphash.MakeSeed()

// Match is the function [Match]. If patterns is not the slice that x was made of,
// it does without x. It allocates nothing for a host in ASCII, in whatever case.
func (x *Index) Match(patterns []string, host string) bool {
	name := strings.TrimSuffix(host, ".")
	found := scan(name)
	if found == notASCII {
		var err error
		if name, err = Name(host); err != nil {
			return false
		}
		found = scan(name)
	}
	if found&noName != 0 {
		return false
	}
	// Two patterns can match: the name itself, and the name with an asterisk in
	// the place of its first label. What is neither a name nor a wildcard, such as
	// an IP address among the patterns, equals none of the two.
	var buf [maxName]byte
	pattern := buf[:copy(buf[:], name)]
	if found&upper != 0 {
		lowerBytes(pattern)
	}
	if x.have(patterns, pattern) {
		return true
	}
	dot := bytes.IndexByte(pattern, '.')
	if dot < 0 {
		return false
	}
	pattern = pattern[dot-1:]
	pattern[0] = '*'
	return x.have(patterns, pattern)
}

// have reports whether pattern is one of patterns.
func (x *Index) have(patterns []string, pattern []byte) bool {
	if x == nil || len(x.tags) != len(patterns) || x.first != &patterns[0] {
		for _, p := range patterns {
			if p == string(pattern) {
				return true
			}
		}
		return false
	}
	// A search for an octet looks at many tags at once, and few patterns besides
	// the right one have its tag.
	tag := byte(maphash.Bytes(seed, pattern))
	for i := 0; ; i++ {
		next := bytes.IndexByte(x.tags[i:], tag)
		if next < 0 {
			return false
		}
		if i += next; patterns[i] == string(pattern) {
			return true
		}
	}
}
