package main

import "strings"

// lines splits text into its lines.
func lines(text string) []string { return strings.Split(strings.TrimRight(text, "\r\n"), "\n") }

const usage = `usage`
