package cache

import (
	"os"
	"syscall"
)

// syncData has what was written to the file on the disk, and of what the file system
// knows about the file only what it takes to read that again.
func syncData(file *os.File) error {
	for {
		if err := syscall.Fdatasync(int(file.Fd())); err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
