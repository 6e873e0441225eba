package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/mtasts/diagnose"
)

//go:embed templates
var files embed.FS

var (
	style     = mustRead("templates/style.css")
	templates = template.Must(template.New("").Funcs(template.FuncMap{
		"caret":    caret,
		"chips":    chips,
		"clause":   clause,
		"date":     func(t time.Time) string { return t.Format(time.DateOnly) },
		"decision": func(d diagnose.Decision) string { return decisions[d] },
		"role":     func(r diagnose.Role) string { return roles[r] },
		"short":    short,
		"stamp":    stamp,
		"word":     word,
	}).ParseFS(files, "templates/*.html"))
)

func mustRead(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// pagePolicy is the Content-Security-Policy of a page: it has its one style, its icon, and
// no script. A saved page brings it along.
func pagePolicy() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; form-action 'self'; base-uri 'none'"
}

// A document is what is on a page.
type document struct {
	Served   bool // by lookup serve, so that it has a form
	Start    bool // nothing was asked yet
	Domain   string
	Error    *problem
	Examples []example
	Reports  []sheet
}

type (
	problem struct{ Title, Text string }
	example struct{ Domain, Text string }
)

func (d *document) Style() template.CSS { return template.CSS(style) }
func (d *document) Policy() string      { return pagePolicy() }
func (d *document) Longest() int        { return longestDomain }

func (d *document) Title() string {
	switch {
	case d.Error != nil:
		return d.Error.Title + " - MTA-STS lookup"
	case len(d.Reports) == 1:
		return d.Reports[0].Name() + ": " + d.Reports[0].Verdict.Title
	case len(d.Reports) > 1:
		return fmt.Sprintf("%d domains - MTA-STS lookup", len(d.Reports))
	}
	return "MTA-STS lookup"
}

// render makes the page as a whole, so that an error leaves no half of it.
func (d *document) render() ([]byte, error) {
	var b bytes.Buffer
	err := templates.ExecuteTemplate(&b, "page", d)
	return b.Bytes(), err
}

// saved makes a page that stands alone, of reports and what is to be said before each.
func saved(reports []*diagnose.Report, scenes map[string]string) ([]byte, error) {
	d := &document{}
	for i, r := range reports {
		d.Reports = append(d.Reports, sheet{Report: r, number: i + 1, Scene: scenes[r.Domain]})
	}
	return d.render()
}

// writeHTML writes such a page to a file.
func writeHTML(file string, reports []*diagnose.Report, scenes map[string]string) error {
	page, err := saved(reports, scenes)
	if err != nil {
		return err
	}
	return os.WriteFile(file, page, 0o644)
}

// A piece of a clause may have an address.
type piece struct{ Text, URL string }

var sections = regexp.MustCompile(`RFC (\d+)(?:, Sections? (\d+(?:\.\d+)*))?|\d+(?:\.\d+)*`)

// clause links the RFCs and sections in a text such as "RFC 8461, Sections 3.1 and 8.1, and
// erratum 6285".
func clause(text string) (pieces []piece) {
	rfc, end := "", 0
	for _, at := range sections.FindAllStringSubmatchIndex(text, -1) {
		section := text[at[0]:at[1]]
		if at[2] >= 0 {
			rfc, section = text[at[2]:at[3]], ""
			if at[4] >= 0 {
				section = text[at[4]:at[5]]
			}
		}
		url := "https://www.rfc-editor.org/rfc/rfc" + rfc
		if section != "" {
			url += "#section-" + section
		}
		if strings.HasSuffix(text[:at[0]], "erratum ") {
			url = "https://www.rfc-editor.org/errata/eid" + section
		}
		pieces = append(pieces, piece{Text: text[end:at[0]]}, piece{text[at[0]:at[1]], url})
		end = at[1]
	}
	return append(pieces, piece{Text: text[end:]})
}

// A marked text has a character at which it goes wrong.
type marked struct {
	Before, At, After string
	Column            int
}

// caret marks the column of a text, which counts from 1; 0 means none.
func caret(text string, column int) marked {
	at := column - 1
	switch {
	case at < 0 || at > len(text):
		return marked{Before: text}
	case at == len(text):
		return marked{text, " ", "", column}
	}
	return marked{text[:at], text[at : at+1], text[at+1:], column}
}
