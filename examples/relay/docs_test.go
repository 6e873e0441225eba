package main

import (
	"bytes"
	"errors"
	"flag"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// matches returns what the group of pattern matches in text, sorted and each once.
func matches(pattern, text string) []string {
	found := make(map[string]bool)
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found[match[1]] = true
	}
	return slices.Sorted(maps.Keys(found))
}

func TestTheManPageHasTheFlags(t *testing.T) {
	var help bytes.Buffer
	if _, err := parse([]string{"-h"}, &help); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	flags := matches(`(?m)^  -([a-z-]+)`, help.String())
	man := readDoc(t, "mtasts-relay.8")
	if got := matches(`(?m)^\.It Fl ([a-z-]+)`, man); len(flags) < 10 || !slices.Equal(got, flags) {
		t.Errorf("the man page explains %v, want %v", got, flags)
	}
	if got := matches(`(?m)^\.(?:Op )?Fl ([a-z-]+)`, man); !slices.Equal(got, flags) {
		t.Errorf("its synopsis has %v, want %v", got, flags)
	}
}

// systemd kills what has not ended in time.
func TestTheUnitWaitsForAShutdown(t *testing.T) {
	unit := readDoc(t, "mtasts-relay.service")
	limit := matches(`(?m)^TimeoutStopSec=(\d+)$`, unit)
	if len(limit) != 1 {
		t.Fatalf("TimeoutStopSec is %v", limit)
	}
	if d, err := time.ParseDuration(limit[0] + "s"); err != nil || d < submissionLimit+2*time.Minute {
		t.Errorf("TimeoutStopSec is %s, want enough for a client and a message in DATA", d)
	}
	line := regexp.MustCompile(`(?m)^ExecStart=\S+ (.*)$`).FindStringSubmatch(unit)
	if line == nil {
		t.Fatal("no ExecStart")
	}
	if _, err := parse(append(strings.Fields(line[1]), "-hostname", "relay.example"), &bytes.Buffer{}); err != nil {
		t.Errorf("the command line of the unit: %v", err)
	}
}
