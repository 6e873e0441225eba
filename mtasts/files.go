package mtasts

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// A policyFile is a parsed policy file. The policies of many domains may share one.
type policyFile struct {
	text       string
	sts.Policy // its strings are parts of text where possible
}

// parseFile reads the text of a policy file. The error is a *sts.SyntaxError.
func parseFile(text string) (*policyFile, error) {
	p, err := sts.ParsePolicy(text)
	if err != nil {
		return nil, err
	}
	return &policyFile{text, p}, nil
}

// sharedFiles lets domains with the same policy file share it in memory. Most domains have the
// file of a large provider. It holds at most maxShared files of maxSharedSize.
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

// parse is [parseFile], but returns the shared file if there is one.
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
