//go:build !linux

package cache_test

import "testing"

// asOrdinaryUser runs fn. Where there is no way to give up the rights of root
// for a single thread, tests are not run as root.
func asOrdinaryUser(_ *testing.T, fn func()) { fn() }
