package cache_test

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

// asOrdinaryUser runs fn with the rights of a user who is not root, so that file modes count
// even if root runs the tests. The rights are those of a thread, so fn must stay on its
// goroutine.
func asOrdinaryUser(t *testing.T, fn func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		fn()
		return
	}
	const nobody = 65534
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The group first: changing it takes the rights that go with the user.
	if err := syscall.Setfsgid(nobody); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setfsgid(0)
	if err := syscall.Setfsuid(nobody); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setfsuid(0)
	fn()
}
