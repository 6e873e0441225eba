package sts_test

import (
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// floorRecord reads a TXT record by the grammar of RFC 8461, Section 3.1, and
// keeps its id. It does not check for repeated fields.
func floorRecord(s string) (id string, ok bool) {
	const version = "v=STSv1"
	if len(s) < len(version) || s[:len(version)] != version {
		return "", false
	}
	for i := len(version); ; {
		for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
			i++
		}
		if i == len(s) {
			return id, id != "" // white space at the end is allowed
		}
		if s[i] != ';' {
			return "", false
		}
		for i++; i < len(s) && (s[i] == ' ' || s[i] == '\t'); i++ {
		}
		if i == len(s) {
			return id, id != ""
		}
		name := i
		for i < len(s) && (floorAlnum(s[i]) || i > name && (s[i] == '_' || s[i] == '-' || s[i] == '.')) {
			i++
		}
		if i == name || i-name > 32 || i == len(s) || s[i] != '=' {
			return "", false
		}
		isID := i-name == 2 && s[name] == 'i' && s[name+1] == 'd'
		i++
		value := i
		if isID {
			for i < len(s) && floorAlnum(s[i]) {
				i++
			}
			if id = s[value:i]; i-value > 32 {
				return "", false
			}
		} else {
			for i < len(s) && s[i] > ' ' && s[i] < 0x7f && s[i] != '=' && s[i] != ';' {
				i++
			}
		}
		if i == value {
			return "", false
		}
	}
}

func floorAlnum(c byte) bool { return c-'0' < 10 || c|0x20-'a' < 26 }

// floorPolicy reads a policy file by the grammar of RFC 8461, Section 3.2, whose
// patterns are in lower case. It does not check for repeated fields.
func floorPolicy(s string) (p sts.Policy, ok bool) {
	if len(s) > 64<<10 || strings.IndexByte(s, 0) >= 0 {
		return p, false
	}
	var version, maxAge bool
	for s != "" {
		line, rest := s, ""
		if i := strings.IndexByte(s, '\n'); i >= 0 {
			line, rest = s[:i], s[i+1:]
		}
		s = rest
		end := len(line)
		for end > 0 && (line[end-1] == '\r' || line[end-1] == ' ' || line[end-1] == '\t') {
			end--
		}
		colon := 0
		for colon < end && line[colon] != ':' {
			colon++
		}
		if colon == end {
			continue
		}
		start := colon + 1
		for start < end && (line[start] == ' ' || line[start] == '\t') {
			start++
		}
		value := line[start:end]
		switch line[:colon] {
		case "mx":
			base := value
			if len(value) > 2 && value[:2] == "*." {
				base = value[2:]
			}
			if !floorName(base) {
				return p, false
			}
			if p.MX == nil {
				p.MX = make([]string, 0, strings.Count(s, "\n")+1)
			}
			p.MX = append(p.MX, value)
		case "version":
			if version = value == "STSv1"; !version {
				return p, false
			}
		case "mode":
			if value != "enforce" && value != "testing" && value != "none" {
				return p, false
			}
			p.Mode = sts.Mode(value)
		case "max_age":
			var n time.Duration
			for i := range len(value) {
				if value[i]-'0' > 9 {
					return p, false
				}
				n = 10*n + time.Duration(value[i]-'0')
			}
			maxAge = value != "" && len(value) <= 10
			p.MaxAge = min(n*time.Second, sts.MaxMaxAge)
		}
	}
	if !version || !maxAge || p.Mode == "" || p.Mode != sts.None && p.MX == nil {
		return p, false
	}
	return p, true
}

// floorName checks that s is a domain name in lower case, and no IP address.
func floorName(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	label := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c-'a' < 26 || c-'0' < 10 || c == '_' {
			continue
		}
		if c == '.' {
			if i == label || i-label > 63 {
				return false
			}
			label = i + 1
		} else if c != '-' || i == label || i+1 == len(s) || s[i+1] == '.' {
			return false
		}
	}
	if label == len(s) || len(s)-label > 63 {
		return false
	}
	for i := len(s) - 1; s[i]-'0' < 10; i-- {
		if i == label {
			return false
		}
	}
	return true
}

// floorMatch compares a host, in the form that Name returns, with each of the patterns.
func floorMatch(patterns []string, host string) bool {
	parent := host[max(strings.IndexByte(host, '.'), 0):]
	for _, p := range patterns {
		if len(p) == len(host) && p == host || len(p) == len(parent)+1 && p[0] == '*' && p[1:] == parent {
			return true
		}
	}
	return false
}
