package cache_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// modelSeeds is 300 when all is checked before a change lands.
var modelSeeds = flag.Int("model.seeds", 40, "how many histories TestBoltModel plays")

// A step is a Put or, without a value, a Delete. The zero step has left nothing.
type step struct {
	key, value string
	fetched    int // some second
}

// then returns the step by which there is what there is, after old and s.
func (old step) then(s step) step {
	switch {
	case old.fetched > s.fetched:
		return old
	case s.value == "":
		return step{}
	}
	return s
}

func (s step) do(t *testing.T, b *cache.Bolt) error {
	fetched := time.Unix(2e9+int64(s.fetched), 0)
	if s.value == "" {
		return b.Delete(t.Context(), s.key, fetched)
	}
	return b.PutShared(t.Context(), s.key, []byte(s.value), 9, fetched, fetched.Add(time.Hour))
}

// randomStep is about one of a number of keys, and a Delete as often as rare says. A value
// ends like those of others, and at times it is large.
func randomStep(rnd *rand.Rand, keys, large, rare int) step {
	s := step{key: fmt.Sprintf("%d.example", rnd.IntN(keys)), fetched: 1 + rnd.IntN(4)}
	if rnd.IntN(rare) > 0 {
		s.value = fmt.Sprintf("%09d", rnd.IntN(1e9)) + sharedText(rnd.IntN(4)) + strings.Repeat("x", max(0, rnd.IntN(4*large)-3*large))
	}
	return s
}

// cut returns what may be on the disk if the power goes while one step makes the new
// files of the old ones.
func cut(rnd *rand.Rand, oldFile, oldLog, newFile, newLog []byte) (file, log []byte) {
	if !bytes.Equal(oldFile, newFile) { // the log begins anew behind the last transaction
		if rnd.IntN(2) == 0 {
			newFile = withoutLastMeta(newFile)
		}
		return newFile, oldLog
	}
	if oldLog == nil || newLog == nil || !bytes.Equal(oldLog[:walSector], newLog[:walSector]) {
		return newFile, oldLog
	}
	log = bytes.Clone(oldLog) // some sectors of a group are there
	for at := 0; at < len(log); at += walSector {
		if rnd.IntN(2) == 0 {
			copy(log[at:][:walSector], newLog[at:])
		}
	}
	return newFile, log
}

// withoutLastMeta returns file without the meta page of its last transaction, which
// bbolt writes when all other pages are on the disk.
func withoutLastMeta(file []byte) []byte {
	file, ne := bytes.Clone(file), binary.NativeEndian
	last, before := file[16:][:64], file[ne.Uint32(file[24:])+16:][:64]
	if ne.Uint64(last[48:]) < ne.Uint64(before[48:]) {
		last, before = before, last
	}
	copy(last, before)
	ne.PutUint64(last[48:], ne.Uint64(before[48:])-2)
	sum := fnv.New64a()
	sum.Write(last[:56])
	ne.PutUint64(last[56:], sum.Sum64())
	return file
}

// Whatever is done, and wherever the power goes, a store has what a map would have. What
// was under way at that moment is done or not.
func TestBoltModel(t *testing.T) {
	for seed := range *modelSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			playHistory(t, rand.New(rand.NewPCG(uint64(seed), 1)))
		})
	}
}

func playHistory(t *testing.T, rnd *rand.Rand) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	model := map[string]step{}
	keys, large, rare := []int{3, 30, 300}[rnd.IntN(3)], []int{10, 1000, 60_000}[rnd.IntN(3)], []int{8, 100}[rnd.IntN(2)]
	for n := range 200 {
		steps, was := map[string]step{}, maps.Clone(model)
		for range max(1, rnd.IntN(30)-20) {
			s := randomStep(rnd, keys, large, rare)
			steps[s.key], model[s.key] = s, was[s.key].then(s)
		}
		oldFile, oldLog := image(t, path)
		if done := atOnce(slices.Collect(maps.Keys(steps)), func(key string) error { return steps[key].do(t, s) }); len(done) < len(steps) {
			t.Fatalf("%d: of %d steps at once, %d are done", n, len(steps), len(done))
		}
		file, log := image(t, path)
		switch event := rnd.IntN(50); {
		case event < 4: // the process is killed, or the power has gone meanwhile
			cutOff := event < 2 && len(steps) == 1
			if cutOff {
				file, log = cut(rnd, oldFile, oldLog, file, log)
			}
			s.Close()
			var err error
			if s, path, err = afterCrash(t, file, log); err != nil {
				t.Fatalf("%d: %v", n, err)
			}
			for key := range steps {
				if got, _, _ := s.Get(t.Context(), key); cutOff && string(got) != model[key].value {
					model = was
				}
			}
		case event == 4:
			s.Close()
			s = openBolt(t, path)
		case n%50 < 49:
			continue
		}
		want := goodFile{values: map[string]string{}}
		for key, step := range model {
			if step.value != "" {
				want.values[key] = step.value
			}
		}
		if want.check(t, s) > 0 || t.Failed() {
			t.Fatalf("%d: the store has not what a map has", n)
		}
	}
}
