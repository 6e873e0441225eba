//go:build !linux

package cache

import "os"

func syncData(file *os.File) error { return file.Sync() }
