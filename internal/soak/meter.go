package main

import (
	"os"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// A reading is what the process uses at a moment.
type reading struct {
	heap       int64 // octets in objects, reachable or not yet collected
	goroutines int
	files      int // open files and sockets; 0 if the system does not tell
}

// plus adds the goroutines and files of more to r.
func (r reading) plus(more reading) reading {
	return reading{r.heap, r.goroutines + more.goroutines, r.files + more.files}
}

// A meter takes readings, and records the peak.
type meter struct {
	done atomic.Bool
	wait sync.WaitGroup
	mu   sync.Mutex
	peak reading
}

// newMeter starts a meter. Its own goroutine is part of every reading.
func newMeter() *meter {
	m := new(meter)
	m.wait.Go(func() {
		for n := 0; !m.done.Load(); n++ {
			time.Sleep(5 * time.Millisecond)
			m.sample(n%10 == 0) // counting files takes longer
		}
	})
	return m
}

func (m *meter) stop() {
	m.done.Store(true)
	m.wait.Wait()
}

// sample takes a reading, with the open files if files is true. The peak has the highest value of
// each figure.
func (m *meter) sample(files bool) (now, peak reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	now = reading{heap: int64(heap[0].Value.Uint64()), goroutines: runtime.NumGoroutine()}
	if files {
		now.files = openFiles()
	}
	m.peak = reading{max(m.peak.heap, now.heap), max(m.peak.goroutines, now.goroutines), max(m.peak.files, now.files)}
	return now, m.peak
}

// read takes a reading after a garbage collection. It collects twice: objects in a sync.Pool
// survive the first, and cleanups run after it.
func (m *meter) read() reading {
	runtime.GC()
	runtime.GC()
	now, _ := m.sample(true)
	return now
}

// idle waits until there are no more goroutines and files than in want. At the end of time it
// returns false.
func (m *meter) idle(want reading, end time.Time) bool {
	for ; time.Now().Before(end); time.Sleep(time.Millisecond) {
		if now, _ := m.sample(true); now.goroutines <= want.goroutines && now.files <= want.files {
			return true
		}
	}
	return false
}

// settled waits until the process is idle: there are no more goroutines and files than in want,
// and three successive readings have the same heap, within 1 %. On a busy machine that can take
// long. After the deadline it returns the last reading, and the bounds decide.
func (m *meter) settled(want reading, deadline time.Duration) reading {
	end := time.Now().Add(deadline)
	for last, same := int64(0), 0; ; time.Sleep(20 * time.Millisecond) {
		rested := m.idle(want, end)
		r := m.read()
		if r.goroutines > want.goroutines || r.files > want.files || max(r.heap-last, last-r.heap) > r.heap/100 {
			same = 0
		}
		if same++; same == 3 || !rested {
			return r
		}
		last = r.heap
	}
}

// openFiles counts the open files, where the system has a directory of them.
func openFiles() int {
	entries, _ := os.ReadDir("/dev/fd")
	return max(len(entries)-1, 0) // without the directory itself
}
