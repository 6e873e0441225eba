package certcheck

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/testcost"
)

// An error tree grows with what the caller's code wraps and joins, and its texts
// with what a stranger sends. Neither makes it costly to classify.
func TestAnyErrorIsCheapToClassify(t *testing.T) {
	text := strings.Repeat("\x1b", 1<<20)
	deep := errors.New("deep")
	for range 1000 {
		deep = fmt.Errorf("%w", deep)
	}
	wide := errors.Join(slices.Repeat([]error{errors.New(text)}, 1000)...)
	both := errors.Join(slices.Repeat([]error{fmt.Errorf("a: %w", fmt.Errorf("b: %w", errors.New("c")))}, 1000)...)
	names := slices.Repeat([]string{text[:250]}, 300)
	for what, err := range map[string]error{
		"deep":           deep,
		"wide":           wide,
		"deep and wide":  both,
		"a host's names": x509.HostnameError{Certificate: &x509.Certificate{DNSNames: names}, Host: mx},
	} {
		testcost.Under(t, what, func() { Classify(err) })
	}
}
