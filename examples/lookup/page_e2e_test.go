//go:build e2e

package main

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"io"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var shots = flag.String("shots", "", "a directory for pictures of all pages")

func TestPagesInBrowser(t *testing.T) {
	address := served(t, "-demo")
	b := newBrowser(t)
	pages := map[string]string{"start": "", "good": "?domain=good.example", "broken": "?domain=broken.example",
		"attacked": "?domain=attacked.example", "invalid": "?domain=a..b", "missing": "nowhere"}
	for name, path := range pages {
		for _, width := range []int{400, 1200} {
			for _, scheme := range []string{"light", "dark"} {
				t.Run(fmt.Sprintf("%s at %d in %s", name, width, scheme), func(t *testing.T) {
					b.t = t
					b.screen(width, scheme)
					b.open(address + path)
					b.fits(width)
					var styled bool
					if b.value("document.styleSheets.length === 1 && document.styleSheets[0].cssRules.length > 20", &styled); !styled {
						t.Error("the style does not apply")
					}
					b.silent(name == "missing" || name == "invalid")
					b.shoot(fmt.Sprintf("%s-%d-%s", name, width, scheme))
				})
			}
		}
	}
}

// fits fails the test if the page is wider than the window.
func (b *browser) fits(width int) {
	b.t.Helper()
	var wide int
	if b.value("document.documentElement.scrollWidth", &wide); wide > width {
		b.t.Errorf("the page is %d pixels wide, and the window %d", wide, width)
	}
}

// Whatever is wrong with a domain, and however long the texts are that it sends, its page fits
// a phone.
func TestWorldsInBrowser(t *testing.T) {
	b := newBrowser(t)
	b.screen(400, "light")
	for _, world := range worlds {
		t.Run(world.name, func(t *testing.T) {
			b.t = t
			s := newStage(t)
			world.set(s)
			server := httptest.NewServer(s.web())
			defer server.Close()
			fields := strings.Fields(world.args)
			b.open(server.URL + "/?domain=" + url.QueryEscape(fields[len(fields)-1]))
			b.value("document.querySelectorAll('details').forEach(d => d.open = true) === undefined", new(bool))
			b.fits(400)
			b.silent(world.name == "invalid-domain")
			b.shoot("world-" + world.name)
		})
	}
}

// shoot writes a picture of the page for somebody to see.
func (b *browser) shoot(name string) {
	b.t.Helper()
	if *shots == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*shots, name+".png"), b.picture(0), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// The picture of the README, which is made anew with -update.
func TestPicture(t *testing.T) {
	const file, most = "testdata/page.png", 200_000
	b := newBrowser(t)
	b.screen(1100, "light")
	b.open(served(t, "-demo") + "?domain=broken.example")
	picture := b.picture(1080)
	if *update {
		if err := os.WriteFile(file, picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, picture := range map[string][]byte{"stored": stored, "new": picture} {
		config, err := png.DecodeConfig(bytes.NewReader(picture))
		if err != nil || config.Width != 1100 || config.Height < 1000 || len(picture) > most {
			t.Errorf("the %s picture has %d octets, %d x %d: %v", name, len(picture), config.Width, config.Height, err)
		}
	}
}

func TestKeyboardOnly(t *testing.T) {
	address := served(t, "-demo")
	b := newBrowser(t)
	b.screen(1200, "light")
	b.open(address)
	b.press(strings.Split("broken.example", "")...) // the field has the focus
	b.loaded(func() { b.press("Enter") })
	if got := b.text("location.search"); got != "?domain=broken.example" {
		t.Fatalf("the form leads to %q", got)
	}
	if got := b.text("document.querySelector('.verdict h2').innerText"); !strings.Contains(got, "Mail is held back") {
		t.Errorf("the page says %q", got)
	}

	// The first stop leads past the form, and each one is visible.
	b.press("Tab")
	if got := b.text("document.activeElement.innerText"); got != "Skip to the answer" {
		t.Errorf("the first stop is %q", got)
	}
	stops := 0
	for ; b.text("document.activeElement.tagName") != "BODY"; b.press("Tab") {
		var seen bool
		b.value(`(e => { const r = e.getBoundingClientRect(), s = getComputedStyle(e);
			return r.width > 0 && r.height > 0 && r.left >= 0 && s.outlineStyle !== 'none' && s.outlineWidth !== '0px' })(document.activeElement)`, &seen)
		if !seen {
			t.Errorf("the focus cannot be seen on %q", b.text("document.activeElement.outerHTML.slice(0, 100)"))
		}
		if stops++; stops > 200 {
			t.Fatal("the focus never leaves the page")
		}
	}
	var links int
	b.value("[...document.querySelectorAll('a, summary, input, button')].filter(e => e.checkVisibility({contentVisibilityAuto: true})).length", &links)
	if stops < 10 || stops < links {
		t.Errorf("%d stops, and %d things to reach", stops, links)
	}

	// A step that has passed is closed, and Enter opens it.
	b.value("document.querySelector('.step.pass summary').focus() === undefined", new(bool))
	b.press("Enter")
	var open bool
	if b.value("document.querySelector('.step.pass').open", &open); !open {
		t.Error("Enter does not open a step")
	}
}

// On paper all evidence is open, and the colours are light.
func TestPrint(t *testing.T) {
	b := newBrowser(t)
	b.screen(800, "dark")
	b.open(served(t, "-demo") + "?domain=good.example")
	b.call("Emulation.setEmulatedMedia", map[string]any{"media": "print",
		"features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	if got := b.text("getComputedStyle(document.body).backgroundColor"); got != "rgb(255, 255, 255)" {
		t.Errorf("the ground is %s", got)
	}
	var shown, hidden int
	b.value("[...document.querySelectorAll('.step:not([open]) dl')].filter(e => e.checkVisibility({contentVisibilityAuto: true})).length", &shown)
	b.value("[...document.querySelectorAll('.step:not([open]) dl')].length", &hidden)
	if shown == 0 || shown != hidden {
		t.Errorf("%d of %d closed steps are printed", shown, hidden)
	}
	b.shoot("print")
}

func TestSavedPageStandsAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.html")
	p := &program{stdout: &screen{Writer: io.Discard, width: 80}, stderr: &screen{Writer: t.Output(), width: 80}}
	if status := p.run(t.Context(), []string{"-demo", "-html", file}); status != exitFindings {
		t.Fatalf("exit status %d", status)
	}
	b := newBrowser(t)
	b.screen(1200, "light")
	b.open("file://" + file)
	b.silent(false)
	var articles, forms, requests int
	b.value("document.querySelectorAll('article').length", &articles)
	b.value("document.forms.length", &forms)
	b.value("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length", &requests)
	if articles != 3 || forms != 0 || requests != 0 {
		t.Errorf("%d reports, %d forms, %d requests", articles, forms, requests)
	}
	var twice []string
	if b.value("[...document.querySelectorAll('[id]')].map(e => e.id).filter((id, i, all) => all.indexOf(id) !== i)", &twice); len(twice) > 0 {
		t.Errorf("ids stand twice: %q", twice)
	}
	var broken []string
	if b.value("[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash.slice(1)).filter(id => !document.getElementById(id))", &broken); len(broken) > 0 {
		t.Errorf("links lead nowhere: %q", broken)
	}
	b.shoot("saved")
}
