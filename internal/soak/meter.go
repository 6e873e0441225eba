package main

import (
	"os"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"
)

// A reading is what the process uses at one moment.
type reading struct {
	heap       int64 // octets in objects, reachable or not yet collected
	goroutines int
	files      int // open files and sockets; 0 where the system does not tell
}

// plus is r with the goroutines and files of more.
func (r reading) plus(more reading) reading {
	r.goroutines += more.goroutines
	r.files += more.files
	return r
}

// A meter reads, and watches for the peak.
type meter struct {
	done chan struct{}
	wait sync.WaitGroup

	counting sync.Mutex // held while a directory of open files is open

	mu      sync.Mutex
	highest reading // since restart
	most    int     // goroutines, since the start of the program
}

const (
	sampleEvery     = 5 * time.Millisecond
	samplesPerFiles = 10 // counting files takes longer
)

// newMeter starts a meter. Its own goroutine is part of every reading.
func newMeter() *meter {
	m := &meter{done: make(chan struct{})}
	m.wait.Go(m.watch)
	return m
}

func (m *meter) stop() {
	close(m.done)
	m.wait.Wait()
}

func (m *meter) watch() {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-m.done:
			return
		case <-ticker.C:
		}
		now := sample()
		if n%samplesPerFiles == 0 {
			now.files = m.openFiles()
		}
		m.note(now)
	}
}

func (m *meter) note(r reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.highest.heap = max(m.highest.heap, r.heap)
	m.highest.goroutines = max(m.highest.goroutines, r.goroutines)
	m.highest.files = max(m.highest.files, r.files)
	m.most = max(m.most, r.goroutines)
}

// restart forgets the peak.
func (m *meter) restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.highest = reading{}
}

// peak returns the most of each since restart.
func (m *meter) peak() reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.highest
}

// ever returns the most goroutines that there were at a time.
func (m *meter) ever() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.most
}

// read returns what is in use, without garbage.
//
// What was in a sync.Pool survives the first collection, and what weak pointers had is
// cleaned up after one.
func (m *meter) read() reading {
	var r reading
	for before := int64(-1); ; before = r.heap {
		runtime.GC()
		if r = sample(); before >= 0 && r.heap > before-before/100 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.files = m.openFiles()
	m.note(r)
	return r
}

// settled is read as soon as no more goroutines and files are left than in want, or
// after the time given: a goroutine that was waited for still has to return, and
// a connection that was closed on one side to be seen on the other.
func (m *meter) settled(want reading, patience time.Duration) reading {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if sample().goroutines <= want.goroutines && m.openFiles() <= want.files {
			break
		}
	}
	return m.read()
}

func sample() reading {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	return reading{heap: int64(heap[0].Value.Uint64()), goroutines: runtime.NumGoroutine()}
}

// openFiles counts the open files, where the system has a directory of them.
func (m *meter) openFiles() int {
	m.counting.Lock()
	defer m.counting.Unlock()
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if f, err := os.Open(dir); err == nil {
			names, _ := f.Readdirnames(-1)
			f.Close()
			return len(names) - 1 // without f
		}
	}
	return 0
}
