package mtasts

import (
	"hash/maphash"
	"runtime"
	"sync"
	"weak"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// sharedFiles are the policy files of the policies in memory. Most are copies of those of
// a few providers, so domains with the same one share what it says: it is parsed once and
// held once, and what a decision needs is at hand more often.
//
// They are not part of a Client: it would be kept for as long as any of its files may
// still have to be forgotten, and with it all of them.
type sharedFiles struct {
	seed  maphash.Seed
	mu    sync.Mutex
	files map[uint64]weak.Pointer[policyFile] // by the hash of their text, as long as a policy has them
}

// A policyFile is what the policies with one text have in common.
type policyFile struct {
	text       string
	sts.Policy // whose mode and most patterns are parts of text
	index      *sts.Index
}

// parseFile reads the text of a policy file. The error is a *sts.SyntaxError.
func parseFile(text string) (*policyFile, error) {
	p, err := sts.ParsePolicy(text)
	if err != nil {
		return nil, err
	}
	return &policyFile{text, p, sts.NewIndex(p.MX)}, nil
}

func newSharedFiles() *sharedFiles {
	return &sharedFiles{seed: maphash.MakeSeed(), files: make(map[uint64]weak.Pointer[policyFile])}
}

// parse is [parseFile], but for a text that is here already.
func (s *sharedFiles) parse(text string) (*policyFile, error) {
	hash := maphash.String(s.seed, text)
	if held := s.get(hash); held != nil && held.text == text {
		return held, nil
	}
	file, err := parseFile(text) // by itself: a large one takes its time
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch held := s.files[hash].Value(); {
	case held == nil:
		s.files[hash] = weak.Make(file)
		runtime.AddCleanup(file, s.forget, hash)
	case held.text == text: // since a moment ago
		return held, nil
	}
	return file, nil
}

func (s *sharedFiles) get(hash uint64) *policyFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[hash].Value()
}

// forget forgets the file whose text has hash, unless there is another one by now.
func (s *sharedFiles) forget(hash uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[hash].Value() == nil {
		delete(s.files, hash)
	}
}
