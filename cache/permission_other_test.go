//go:build !linux

package cache_test

import "testing"

// asOrdinaryUser runs fn. It assumes that root does not run the tests.
func asOrdinaryUser(_ *testing.T, fn func()) { fn() }
