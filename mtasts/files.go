package mtasts

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// A policyFile is what the policies with one text have in common.
type policyFile struct {
	text       string
	sts.Policy // whose mode and most patterns are parts of text
}

// parseFile reads the text of a policy file. The error is a *sts.SyntaxError.
func parseFile(text string) (*policyFile, error) {
	p, err := sts.ParsePolicy(text)
	if err != nil {
		return nil, err
	}
	return &policyFile{text, p}, nil
}

// sharedFiles lets domains with the same policy file share it in memory. Most domains have
// that of a large provider. The cache is bounded, so a publisher of many different files costs
// maxShared times maxSharedSize at most.
type sharedFiles struct {
	byText *lru.Cache[string, *policyFile]
}

const (
	maxShared     = 1024
	maxSharedSize = 4 << 10 // octets
)

func newSharedFiles() sharedFiles {
	byText, err := lru.New[string, *policyFile](maxShared)
	if err != nil {
		panic(err) // for a size below one
	}
	return sharedFiles{byText}
}

// parse is [parseFile], but for a text that is in the cache.
func (s sharedFiles) parse(text string) (*policyFile, error) {
	if len(text) > maxSharedSize {
		return parseFile(text)
	}
	if file, ok := s.byText.Get(text); ok {
		return file, nil
	}
	file, err := parseFile(text)
	if err != nil {
		return nil, err
	}
	s.byText.Add(file.text, file)
	return file, nil
}
