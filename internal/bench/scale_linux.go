package main

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// anonymous is the memory in use that is not that of a file, in KiB.
func anonymous() int {
	runtime.GC()
	debug.FreeOSMemory()
	return status("RssAnon")
}

// status is a figure of this process, in KiB, as the system has it.
func status(name string) int {
	data, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return n
		}
	}
	return 0
}

// dropCaches has the system forget what it holds of the file at path, which must be
// closed. Where dd cannot do that, nothing is forgotten.
func dropCaches(path string) {
	_ = exec.Command("dd", "if="+path, "iflag=nocache", "count=0").Run()
}
