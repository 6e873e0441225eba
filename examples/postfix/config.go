package main

import (
	"bufio"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/mtasts"
)

// settings are those of the configuration file.
type settings struct {
	// These apply again at SIGHUP.
	actions map[string]mtasts.Action // by domain as a lower-case A-label; "*" for all others
	testing string                   // level for mode testing; "" for none

	// These apply at start.
	roots    string         // PEM file; "" for the system's roots only
	pool     *x509.CertPool // the system's roots and those of the file; nil for the former
	networks []netip.Prefix
	quota    int64
}

// readSettings reads a configuration file. Without a name, all settings have their default.
func readSettings(name string) (*settings, error) {
	s := &settings{actions: make(map[string]mtasts.Action)}
	if name == "" {
		return s, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("%s:%d: want a keyword and a value", name, n)
		}
		if err := s.set(fields[0], fields[1]); err != nil {
			return nil, fmt.Errorf("%s:%d: %s %q: %w", name, n, fields[0], fields[1], err)
		}
	}
	return s, lines.Err()
}

func (s *settings) set(keyword, value string) error {
	switch keyword {
	case "exempt", "observe":
		return s.setAction(mtasts.Action(keyword), value)
	case "testing":
		if value != "may" && value != "encrypt" {
			return errors.New("must be may or encrypt")
		}
		s.testing = value
	case "roots":
		if s.roots != "" {
			return errors.New("there is a line for roots already")
		}
		pool, err := cli.ReadRoots(value)
		s.roots, s.pool = value, pool
		return err
	case "network":
		prefix, err := netip.ParsePrefix(value)
		s.networks = append(s.networks, prefix)
		return err
	case "quota":
		megabytes, err := strconv.ParseInt(value, 10, 32)
		if err != nil || megabytes < 1 {
			return errors.New("must be a number of megabytes")
		}
		s.quota = megabytes << 20
	default:
		return errors.New("no such keyword")
	}
	return nil
}

func (s *settings) setAction(action mtasts.Action, domain string) error {
	if domain != "*" {
		name, err := policyDomain(domain)
		if err != nil {
			return err
		}
		domain = name
	}
	if old, ok := s.actions[domain]; ok && old != action {
		return fmt.Errorf("is in the file as %s, too", old)
	}
	s.actions[domain] = action
	return nil
}

// policyDomain returns the form in which package mtasts compares domains.
func policyDomain(domain string) (string, error) {
	if name := mtasts.NoPolicy(domain).Domain; isHost(name) {
		return name, nil
	}
	return "", errors.New("is not a domain")
}

// action is the Override of the client.
func (s *settings) action(domain string) (mtasts.Action, bool) {
	action, ok := s.actions[domain]
	if !ok {
		action, ok = s.actions["*"]
	}
	return action, ok
}

// needsRestart reports whether the settings that apply at start differ.
func (s *settings) needsRestart(other *settings) bool {
	return s.quota != other.quota || s.roots != other.roots || !slices.Equal(s.networks, other.networks)
}
