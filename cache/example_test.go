package cache_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

func ExampleOpenBolt() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "mta-sts.db")
	ctx := context.Background()

	s, err := cache.OpenBolt(path)
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now()
	week := now.Add(7 * 24 * time.Hour)
	err = s.Write(ctx, []cache.Change{
		{Key: "example.com", Value: []byte("the first"), Fetched: now, Expires: week},
		{Key: "example.com", Value: []byte("an older one"), Fetched: now.Add(-time.Minute), Expires: week},
		{Key: "example.net", Value: []byte("short-lived"), Fetched: now, Expires: week},
		{Key: "example.net", Fetched: now}, // removed again
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}

	s, err = cache.OpenBolt(path)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	value, ok, err := s.Get(ctx, "example.com")
	fmt.Printf("%s, %v, %v\n", value, ok, err)
	_, ok, err = s.Get(ctx, "example.net")
	fmt.Println(ok, err)
	// Output:
	// the first, true, <nil>
	// false <nil>
}

func ExampleLRU() {
	// A unit is 1 KiB here: at most 100 KiB are held.
	l := cache.NewLRU[string](100)
	add := func(key, value string) {
		l.Add(key, value, 1+len(value)/1024)
	}

	add("small.example", "a short text")
	add("large.example", string(make([]byte, 64<<10)))
	fmt.Println(l.Len())
	add("larger.example", string(make([]byte, 70<<10)))
	_, ok := l.Get("large.example")
	fmt.Println(l.Len(), ok, l.Evicted())
	// Output:
	// 2
	// 1 false 2
}
