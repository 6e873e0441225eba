package mtasts

import (
	"hash/maphash"
	"runtime"
	"sync"
	"weak"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// sharedFiles are the policy files of the policies in memory. Most are copies of those of
// a few providers, so domains with the same one share what it says: that is less memory,
// and what a decision needs is at hand more often.
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
	text  string
	mode  Mode // which, like most patterns, is a part of text
	mx    []string
	index *sts.Index
}

func newSharedFiles() *sharedFiles {
	return &sharedFiles{seed: maphash.MakeSeed(), files: make(map[uint64]weak.Pointer[policyFile])}
}

// share lets p, which nobody else knows yet, have its policy file in common with others.
func (s *sharedFiles) share(p *Policy) {
	hash := maphash.String(s.seed, p.Text)
	s.mu.Lock()
	defer s.mu.Unlock()
	file := s.files[hash].Value()
	switch {
	case file == nil:
		file = &policyFile{p.Text, p.Mode, p.MX, p.index}
		s.files[hash] = weak.Make(file)
		runtime.AddCleanup(file, s.forget, hash)
	case file.text != p.Text:
		return
	}
	p.Text, p.Mode, p.MX, p.index, p.file = file.text, file.mode, file.mx, file.index, file
}

// forget forgets the file whose text has hash, unless there is another one by now.
func (s *sharedFiles) forget(hash uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[hash].Value() == nil {
		delete(s.files, hash)
	}
}

// own makes p, which nobody else knows yet, a policy of c.
func (c *Client) own(p *Policy) {
	p.client = c
	if p.Cause == nil {
		c.files.share(p)
	}
}
