package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A tlsPolicy is what Postfix makes of a reply.
type tlsPolicy struct {
	level   string
	match   []string
	sni     string
	kind    string // policy_type
	domain  string
	strings []string
	mx      []string
}

// parsePolicy reads a policy as smtp_tls_policy.c of Postfix 3.10 does. For an older
// Postfix, the attributes of 3.10 are errors. Each error defers all mail of the domain.
func parsePolicy(text string, version310 bool) (p tlsPolicy, err error) {
	text, ok := strings.CutPrefix(text, "OK ")
	if !ok {
		return p, errors.New("no policy")
	}
	if !utf8.ValidString(text) {
		return p, errors.New("not UTF-8")
	}
	if strings.ContainsRune(text, 0) {
		return p, errors.New("ends at a NUL")
	}
	tokens := tokenize(text)
	if len(tokens) == 0 {
		return p, errors.New("invalid empty policy")
	}
	p.level = tokens[0]
	switch p.level {
	case "may", "encrypt", "secure", "dane-only":
	default:
		return p, fmt.Errorf("invalid security level %q", p.level)
	}
	once := map[string]*string{"servername": &p.sni}
	if version310 {
		once["policy_type"], once["policy_domain"] = &p.kind, &p.domain
	}
	for _, token := range tokens[1:] {
		if token[0] == '{' {
			if token, err = insideBraces(token); err != nil {
				return p, err
			}
		}
		name, value, ok := strings.Cut(token, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n") {
			return p, fmt.Errorf("malformed attribute/value pair %q", token)
		}
		if value == "" {
			return p, fmt.Errorf("attribute %q has an empty value", name)
		}
		target := once[name]
		switch {
		case target != nil && *target != "":
			return p, fmt.Errorf("attribute %q is specified multiple times", name)
		case target != nil:
			*target = value
		case name == "match" && p.level == "secure":
			p.match = append(p.match, strings.Split(value, ":")...)
		case name == "policy_string" && version310:
			p.strings = append(p.strings, value)
		case name == "mx_host_pattern" && version310:
			p.mx = append(p.mx, value)
		default:
			return p, fmt.Errorf("invalid attribute name %q", name)
		}
	}
	if p.kind == "" && (p.domain != "" || p.strings != nil || p.mx != nil) {
		return p, errors.New("built-in policy has unexpected attributes")
	}
	return p, nil
}

// tokenize splits at commas and blanks outside braces, as mystrtokq does: a "{" that is
// never closed takes in all that follows.
func tokenize(text string) (tokens []string) {
	level, start := 0, 0
	for i := 0; i <= len(text); i++ {
		switch {
		case i == len(text) || level == 0 && strings.IndexByte(", \t\r\n", text[i]) >= 0:
			if i > start {
				tokens = append(tokens, text[start:i])
			}
			start = i + 1
		case text[i] == '{':
			level++
		case text[i] == '}' && level > 0:
			level--
		}
	}
	return tokens
}

// insideBraces does what extpar does.
func insideBraces(token string) (string, error) {
	level := 0
	for i := range len(token) {
		switch token[i] {
		case '{':
			level++
		case '}':
			if level--; level == 0 {
				if i != len(token)-1 {
					return "", errors.New("syntax error after '}'")
				}
				return strings.TrimSpace(token[1:i]), nil
			}
		}
	}
	return "", errors.New("missing '}'")
}
