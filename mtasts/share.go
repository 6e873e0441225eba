package mtasts

import (
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
	mu    sync.Mutex
	files map[string]weak.Pointer[policyFile] // by their text, as long as a policy has them
}

// A policyFile is what the policies with one text have in common.
type policyFile struct {
	text  string
	mode  Mode // which, like the patterns, is a part of text
	mx    []string
	index *sts.Index
}

// share lets p, which nobody else knows yet, have its policy file in common with others.
func (s *sharedFiles) share(p *Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	file := s.files[p.Text].Value()
	if file == nil {
		file = &policyFile{p.Text, p.Mode, p.MX, p.index}
		if s.files == nil {
			s.files = make(map[string]weak.Pointer[policyFile])
		}
		s.files[p.Text] = weak.Make(file)
		runtime.AddCleanup(file, s.forget, p.Text)
	}
	p.Text, p.Mode, p.MX, p.index, p.file = file.text, file.mode, file.mx, file.index, file
}

// forget forgets the file of text, unless there is another one by now.
func (s *sharedFiles) forget(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[text].Value() == nil {
		delete(s.files, text)
	}
}

// own makes p, which nobody else knows yet, a policy of c.
func (c *Client) own(p *Policy) {
	p.client = c
	if p.Cause == nil {
		c.files.share(p)
	}
}
