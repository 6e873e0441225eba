//go:build e2e

package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A browser is a headless Chromium with one page, driven by the DevTools protocol over a pair
// of pipes (https://chromedevtools.github.io/devtools-protocol/). It is for one goroutine.
type browser struct {
	t        *testing.T
	commands *os.File
	replies  *bufio.Reader
	last     int
	session  string
	loads    int
	complain []string // errors on the console
}

// A message is a command, a reply or an event.
type message struct {
	ID        int             `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	commandsRead, commands, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	replies, repliesWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// The sandbox needs a user other than root, and /dev/shm is small in a container.
	program := "chromium"
	if _, err := exec.LookPath(program); err != nil {
		program = "google-chrome"
	}
	cmd := exec.Command(program, "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars",
		"--no-first-run", "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
		"--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{commandsRead, repliesWrite}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	commandsRead.Close()
	repliesWrite.Close()
	b := &browser{t: t, commands: commands, replies: bufio.NewReader(replies)}
	stuck := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() }) // the pipe ends, and with it the test
	t.Cleanup(func() {
		b.send("Browser.close", nil)
		commands.Close()
		cmd.Wait()
		replies.Close()
		stuck.Stop()
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

func (b *browser) send(method string, params any) {
	b.last++
	raw, err := json.Marshal(params)
	if err == nil {
		raw, err = json.Marshal(message{ID: b.last, Method: method, Params: raw, SessionID: b.session})
	}
	if err == nil {
		_, err = b.commands.Write(append(raw, 0))
	}
	if err != nil {
		b.t.Error(err)
	}
}

// call runs a command and puts its result into v, if that is not nil.
func (b *browser) call(method string, params, v any) {
	b.t.Helper()
	if params == nil {
		params = struct{}{}
	}
	b.send(method, params)
	for want := b.last; ; {
		m := b.receive()
		if m.ID != want {
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error)
		}
		if v != nil {
			if err := json.Unmarshal(m.Result, v); err != nil {
				b.t.Fatal(err)
			}
		}
		return
	}
}

// receive reads one message, and notes what the page complains about.
func (b *browser) receive() (m message) {
	b.t.Helper()
	raw, err := b.replies.ReadBytes(0)
	if err == nil {
		err = json.Unmarshal(raw[:len(raw)-1], &m)
	}
	if err != nil {
		b.t.Fatal("from the browser: ", err)
	}
	switch m.Method {
	case "Page.loadEventFired":
		b.loads++
	case "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled":
		b.complain = append(b.complain, string(m.Params))
	}
	return m
}

// loaded runs something that leads to another page, and waits for that.
func (b *browser) loaded(lead func()) {
	b.t.Helper()
	before := b.loads
	lead()
	for b.loads == before {
		b.receive()
	}
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.loaded(func() { b.call("Page.navigate", map[string]any{"url": url}, nil) })
	// The field gets the focus when the page is first drawn.
	b.value("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(() => drawn(true))))", new(bool))
}

// silent fails the test if the page has written to the console. The browser itself writes
// there the status of a page that is an error.
func (b *browser) silent(status bool) {
	b.t.Helper()
	for _, c := range b.complain {
		if !status || !strings.Contains(c, "responded with a status of 4") {
			b.t.Errorf("on the console: %.300s", c)
		}
	}
	b.complain = nil
}

// screen sets what the page is shown on.
func (b *browser) screen(width int, scheme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// value returns what a JavaScript expression gives, put into v.
func (b *browser) value(expression string, v any) {
	b.t.Helper()
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &out)
	if out.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, out.ExceptionDetails)
	}
	if err := json.Unmarshal(out.Result.Value, v); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

func (b *browser) text(expression string) (s string) {
	b.t.Helper()
	b.value(expression, &s)
	return s
}

// press presses keys, each of which is a character or a name.
func (b *browser) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		event := map[string]any{"type": "keyDown", "key": key, "text": key}
		switch key {
		case "Tab":
			event["windowsVirtualKeyCode"], event["text"] = 9, ""
		case "Enter":
			event["windowsVirtualKeyCode"], event["text"] = 13, "\r"
		}
		b.call("Input.dispatchKeyEvent", event, nil)
		event["type"], event["text"] = "keyUp", ""
		b.call("Input.dispatchKeyEvent", event, nil)
	}
}

// picture is a PNG of the page, from its top to height, or of the whole for 0.
func (b *browser) picture(height int) []byte {
	b.t.Helper()
	var size struct {
		CSSContentSize struct{ Width, Height float64 }
	}
	b.call("Page.getLayoutMetrics", nil, &size)
	h := size.CSSContentSize.Height
	if height > 0 {
		h = min(h, float64(height))
	}
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true,
		"clip": map[string]any{"x": 0, "y": 0, "width": size.CSSContentSize.Width, "height": h, "scale": 1}}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return png
}
