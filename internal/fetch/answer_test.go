package fetch

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

func TestRFC8461_3_3_ThePolicyIsAtTheWellKnownURLOfThePolicyHost(t *testing.T) {
	body, err := get(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.RequestURI != "/.well-known/mta-sts.txt" || r.Host != host {
			t.Errorf("%s %s of %s", r.Method, r.RequestURI, r.Host)
		}
		if !r.Close {
			t.Error("the server is to keep the connection")
		}
		publish(w, r)
	})
	wantPolicy(t, body, err)
}

func TestRFC8461_3_3_RedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		var requests atomic.Int32
		body, err := get(t, func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			if r.URL.Path == "/policy" {
				publish(w, r)
				return
			}
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Location", "https://"+host+"/policy")
			w.WriteHeader(status)
			io.WriteString(w, policy)
		})
		wantError(t, body, err, KindAnswer, fmt.Sprintf("the status is %d", status))
		if n := requests.Load(); n != 1 {
			t.Errorf("status %d: %d requests", status, n)
		}
	}
}

func TestRFC8461_3_3_OnlyStatus200IsAPolicy(t *testing.T) {
	for _, status := range []int{201, 203, 204, 206, 304, 404, 410, 500, 503} {
		body, err := get(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(status)
			io.WriteString(w, policy)
		})
		wantError(t, body, err, KindAnswer, fmt.Sprintf("the status is %d", status))
	}
}

func TestRFC8461_3_2_TheMediaTypeIsTextPlain(t *testing.T) {
	for _, test := range []struct {
		fields  []string // each a Content-Type
		refused string   // the media type, if it is refused
	}{
		{nil, ""},
		{[]string{"text/plain"}, ""},
		{[]string{"text/plain; charset=utf-8"}, ""},
		{[]string{"Text/PLAIN;charset=ISO-8859-1"}, ""},
		{[]string{"text/plain ;"}, ""},
		{[]string{"text/plain; charset"}, ""},
		{[]string{"text/plain;;=\""}, ""},
		{[]string{"\ttext/plain"}, ""},
		{[]string{""}, ""},
		{[]string{"; text/html; x"}, ""}, // no type, only parameters
		{[]string{"text/html"}, "text/html"},
		{[]string{"text/html; charset=text/plain"}, "text/html"},
		{[]string{"text/plainer"}, "text/plainer"},
		{[]string{"text/plain x"}, "text/plain x"},
		{[]string{"text"}, "text"},
		{[]string{"plain"}, "plain"},
		{[]string{"application/octet-stream"}, "application/octet-stream"},
		{[]string{"image/png; text/plain"}, "image/png"},

		// A web server adds the field to that of the file, or of an upstream server.
		// The last counts.
		{[]string{"text/plain, text/plain"}, ""},
		{[]string{"text/plain,TEXT/plain"}, ""},
		{[]string{"text/plain; charset=utf-8, text/plain"}, ""},
		{[]string{"text/plain, text/plain; charset=utf-8"}, ""},
		{[]string{"text/html, text/plain"}, ""},
		{[]string{"text/plain, text/html"}, "text/html"},
		{[]string{"text/plain, text/html, text/plain"}, ""},
		{[]string{"text/plain", "text/plain"}, ""},
		{[]string{"text/html", "text/plain"}, ""},
		{[]string{"text/plain", "text/html"}, "text/html"},
		{[]string{"text/html, text/html", "text/html, text/plain"}, ""},
		{[]string{"text/plain", "image/png", "text/html; charset=utf-8"}, "text/html"},

		// Empty members do not count (RFC 9110, Section 5.6.1).
		{[]string{"text/plain,"}, ""},
		{[]string{",text/plain"}, ""},
		{[]string{" ,\t, text/plain , ,"}, ""},
		{[]string{","}, ""},
		{[]string{"text/plain", ""}, ""},
		{[]string{"", "text/html", ","}, "text/html"},
		{[]string{"text/html, ; charset=utf-8"}, "text/html"},

		// A comma in a quoted string separates nothing (Section 5.6.4).
		{[]string{`text/plain; x="a, text/html"`}, ""},
		{[]string{`text/html; x="a, text/plain"`}, "text/html"},
		{[]string{`text/html; x="a;b,c", text/plain; y=",;"`}, ""},
		{[]string{`text/plain; x="\", text/html"`}, ""},
		{[]string{`text/plain; x="\\", text/html`}, "text/html"},
		{[]string{`text/html; x="\", text/plain"`}, "text/html"},
		{[]string{`text/plain; x=\, text/html`}, "text/html"},
		{[]string{`text/html; x="a, text/plain`}, "text/html"}, // never closed
		{[]string{`text/html; x="a`, "text/plain"}, ""},

		{[]string{strings.Repeat("a/b,", 10000) + "text/plain"}, ""},
		{[]string{"text/plain" + strings.Repeat(",a/b", 10000)}, "a/b"},
		{[]string{"text/plain" + strings.Repeat(",", 50000)}, ""},
		{slices.Repeat([]string{"text/plain"}, 1000), ""},
	} {
		body, err := get(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = test.fields
			io.WriteString(w, policy)
		})
		if test.refused == "" {
			wantPolicy(t, body, err)
		} else {
			wantError(t, body, err, KindAnswer, fmt.Sprintf("the media type is %q", test.refused))
		}
		if t.Failed() {
			t.Fatalf("Content-Type: %.200q", test.fields)
		}
	}
}

func TestRFC8461_3_3_ABodyAbove64KiBIsRefusedNotTruncated(t *testing.T) {
	const limit = 65536
	whole := policy + strings.Repeat("#", limit-len(policy))
	for name, send := range map[string]func(w http.ResponseWriter, body string){
		"with a length": func(w http.ResponseWriter, body string) {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			io.WriteString(w, body)
		},
		"in chunks": func(w http.ResponseWriter, body string) {
			io.WriteString(w, body[:100])
			w.(http.Flusher).Flush()
			io.WriteString(w, body[100:])
		},
		"in gzip": func(w http.ResponseWriter, body string) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(zipped([]byte(body), 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := get(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				send(w, whole)
			})
			if err != nil || body != whole {
				t.Errorf("64 KiB: %d bytes, %v", len(body), err)
			}
			body, err = get(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				send(w, whole+"#")
			})
			wantError(t, body, err, KindAnswer, "longer than 65536 bytes")
		})
	}
}

func TestGzipIsAskedForAndDecoded(t *testing.T) {
	body, err := get(t, func(w http.ResponseWriter, r *http.Request) {
		if accepted := r.Header.Get("Accept-Encoding"); accepted != "gzip" {
			t.Errorf("Accept-Encoding: %q", accepted)
		}
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(zipped([]byte(policy), 1))
	})
	wantPolicy(t, body, err)
	body, err = get(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Encoding", "x-GZip") // RFC 9110, Section 8.4.1.3
		w.Write(zipped([]byte(policy), 1))
	})
	wantPolicy(t, body, err)
}

// A megabyte that decodes to a gigabyte is refused after 64 KiB of output.
func TestAGzipBombCostsNoMemory(t *testing.T) {
	bomb := zipped(make([]byte, 1<<20), 1024)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	body, err := get(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb)
	})
	runtime.ReadMemStats(&after)
	wantError(t, body, err, KindAnswer, "longer than 65536 bytes")
	if spent := after.TotalAlloc - before.TotalAlloc; spent > 8<<20 {
		t.Errorf("%d bytes of memory for a bomb of %d", spent, len(bomb))
	}
}

func TestAnUnknownContentCodingIsRefused(t *testing.T) {
	for _, coding := range []string{"br", "deflate", "gzip, gzip"} {
		body, err := get(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Encoding", coding)
			io.WriteString(w, policy)
		})
		wantError(t, body, err, KindAnswer, "content coding is \""+coding)
	}
}

// Some servers send the charset, or state that there is no coding.
func TestAContentCodingWithoutEffectIsAccepted(t *testing.T) {
	for _, coding := range []string{"", "identity", "Identity", "none", "UTF-8"} {
		body, err := get(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", coding)
			publish(w, r)
		})
		if err != nil {
			t.Logf("Content-Encoding: %q", coding)
		}
		wantPolicy(t, body, err)
	}
}

// The part of an answer before a lost connection may itself be a valid policy.
func TestAnIncompleteAnswerIsRefused(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	packed := string(zipped([]byte(policy), 1))
	for name, answer := range map[string]string{
		"nothing":                  "",
		"half a status line":       "HTTP/1.1 2",
		"half a header":            head,
		"shorter than its length":  head + "Content-Length: 1000\r\n\r\n" + policy,
		"no last chunk":            head + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(policy), policy),
		"nothing of gzip":          head + "Content-Encoding: gzip\r\n\r\n",
		"half of gzip":             head + "Content-Encoding: gzip\r\n\r\n" + packed[:len(packed)-1],
		"not gzip":                 head + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(policy), policy),
		"a chunk that is not one":  head + "Transfer-Encoding: chunked\r\n\r\n" + policy,
		"not HTTP":                 policy,
		"HTTP/2 by the first byte": "\x00\x00\x12\x04\x00\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			body, err := getRaw(t, answer)
			wantError(t, body, err, KindTransport, "")
		})
	}
	t.Run("whole", func(t *testing.T) {
		body, err := getRaw(t, head+fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(policy), policy))
		wantPolicy(t, body, err)
	})
	t.Run("gzip to the end of the connection", func(t *testing.T) {
		body, err := getRaw(t, head+"Content-Encoding: gzip\r\n\r\n"+packed)
		wantPolicy(t, body, err)
	})
}

func TestAHugeHeaderIsRefused(t *testing.T) {
	for name, header := range map[string]string{
		"one long field": "X: " + strings.Repeat("x", 1<<20) + "\r\n",
		"many fields":    strings.Repeat("X: x\r\n", 1<<17),
	} {
		t.Run(name, func(t *testing.T) {
			body, err := getRaw(t, "HTTP/1.1 200 OK\r\n"+header+"Content-Length: 0\r\n\r\n")
			wantError(t, body, err, KindAnswer, "more than 81920 bytes in all")
		})
	}
}

// RFC 8461, Section 3.3: "HTTP caching (as specified in [RFC7234]) MUST NOT be
// used."
func TestRFC8461_3_3_NoHTTPCacheIsUsed(t *testing.T) {
	var requests atomic.Int32
	server := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		for _, field := range []string{"If-None-Match", "If-Modified-Since"} {
			if value := r.Header.Get(field); value != "" {
				t.Errorf("%s: %s", field, value)
			}
		}
		if value := r.Header.Get("Cache-Control"); !strings.Contains(value, "no-cache") {
			t.Errorf("Cache-Control: %q", value)
		}
		w.Header().Set("Cache-Control", "max-age=86400, immutable")
		w.Header().Set("ETag", `"1"`)
		publish(w, r)
	})
	client := newClient(addrOf(server))
	for range 2 {
		body, err := client.Get(t.Context(), host)
		wantPolicy(t, body, err)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests for 2 Gets", n)
	}
}

func TestNoCookieIsKept(t *testing.T) {
	server := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if value := r.Header.Get("Cookie"); value != "" {
			t.Errorf("Cookie: %s", value)
		}
		http.SetCookie(w, &http.Cookie{Name: "who", Value: "you", MaxAge: 1000})
		publish(w, r)
	})
	client := newClient(addrOf(server))
	for range 2 {
		body, err := client.Get(t.Context(), host)
		wantPolicy(t, body, err)
	}
}

// A message may be shown in a log, a report or a terminal.
func TestMessagesAreShortAndPrintable(t *testing.T) {
	evil := "\x1b]0;x\x07\u202e\xff" + strings.Repeat("é", 4000)
	head := "Content-Length: 0\r\n"
	for name, answer := range map[string]string{
		"media type":  "HTTP/1.1 200 OK\r\nContent-Type: text/" + evil + "\r\n" + head + "\r\n",
		"coding":      "HTTP/1.1 200 OK\r\nContent-Encoding: " + evil + "\r\n" + head + "\r\n",
		"location":    "HTTP/1.1 302 Found\r\nLocation: " + evil + "\r\n" + head + "\r\n",
		"status":      "HTTP/1.1 500 " + evil + "\r\n" + head + "\r\n",
		"status code": "HTTP/1.1 " + evil + "\r\n" + head + "\r\n",
		"field":       "HTTP/1.1 200 OK\r\n" + evil + "\r\n" + head + "\r\n",
		"length":      "HTTP/1.1 200 OK\r\nContent-Length: " + evil + "\r\n\r\n",
	} {
		_, err := getRaw(t, answer)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if text := err.Error(); len(text) > 600 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%s: %d bytes, %q", name, len(text), text)
		}
	}
}
