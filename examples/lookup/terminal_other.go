//go:build !linux && !darwin

package main

import "os"

// terminalWidth says that there is no terminal: package syscall cannot ask here.
func terminalWidth(*os.File) int { return 0 }
