package mtaststest_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

const (
	domain = "example.com"
	host   = "mx.example.com"
)

// onBoth runs test with pipes and with sockets.
func onBoth(t *testing.T, test func(t *testing.T, w *mtaststest.World, dial func() net.Conn)) {
	t.Run("pipe", func(t *testing.T) {
		w := mtaststest.NewWorld()
		test(t, w, func() net.Conn {
			conn, err := w.Dial(t.Context(), "tcp", host+":25")
			return connected(t, conn, err)
		})
	})
	t.Run("socket", func(t *testing.T) {
		w := mtaststest.NewWorld()
		t.Cleanup(w.Close)
		addr, err := w.Listen(host, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		test(t, w, func() net.Conn {
			conn, err := net.Dial("tcp", addr.String())
			return connected(t, conn, err)
		})
	})
}

// connected returns conn with a deadline.
func connected(t *testing.T, conn net.Conn, err error) net.Conn {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// send sends a message by net/smtp, over TLS if cfg is not nil, and returns the step
// that failed.
func send(conn net.Conn, cfg *tls.Config) (step string, err error) {
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.Hello("sender.example"); err != nil {
		return "EHLO", err
	}
	if cfg != nil {
		if err := c.StartTLS(cfg); err != nil {
			return "STARTTLS", err
		}
	}
	if err := c.Mail("a@sender.example"); err != nil {
		return "MAIL", err
	}
	if err := c.Rcpt("b@example.com"); err != nil {
		return "RCPT", err
	}
	body, err := c.Data()
	if err != nil {
		return "DATA", err
	}
	io.WriteString(body, "Subject: test\r\n\r\n.dot\r\n")
	if err := body.Close(); err != nil {
		return ".", err
	}
	if err := c.Noop(); err != nil {
		return "NOOP", err
	}
	if err := c.Reset(); err != nil {
		return "RSET", err
	}
	if err := c.Quit(); err != nil {
		return "QUIT", err
	}
	return "", nil
}

func TestRepliesAreGivenToTheirCommand(t *testing.T) {
	for _, verb := range []string{"", "STARTTLS", "MAIL", "RCPT", "DATA", ".", "NOOP", "RSET", "QUIT"} {
		for _, secure := range []bool{false, true} {
			if verb == "STARTTLS" && !secure || verb == "" && secure {
				continue // is not sent there
			}
			for reply, want := range map[string]textproto.Error{
				"550 5.7.1 no":                     {Code: 550, Msg: "5.7.1 no"},
				"450-4.7.1 one\n450 4.7.1 two":     {Code: 450, Msg: "4.7.1 one\n4.7.1 two"},
				"550-5.7.1 one\r\n550 5.7.1 two\n": {Code: 550, Msg: "5.7.1 one\n5.7.1 two"},
				"421 4.3.2 later":                  {Code: 421, Msg: "4.3.2 later"},
				"no reply at all":                  {},
				mtaststest.HangUp:                  {},
			} {
				t.Run(verb+" "+reply, func(t *testing.T) {
					onBoth(t, func(t *testing.T, w *mtaststest.World, dial func() net.Conn) {
						var cfg *tls.Config
						mx := mtaststest.MX{Replies: mtaststest.Replies{verb: reply}}
						if secure {
							cfg = &tls.Config{RootCAs: w.Roots(), ServerName: host}
						}
						if secure && verb != "STARTTLS" {
							mx = mtaststest.MX{TLSReplies: mtaststest.Replies{verb: reply}}
						}
						w.AddMX(host, mx)
						step, err := send(dial(), cfg)
						if step != verb || err == nil {
							t.Fatalf("%q failed: %v; want %q to fail", step, err, verb)
						}
						told, ok := errors.AsType[*textproto.Error](err)
						if ok != (want.Code != 0) || ok && *told != want {
							t.Errorf("error is %#v, want %#v", err, want)
						}
						if reply == mtaststest.HangUp && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
							t.Errorf("error is %#v, want the end of the connection", err)
						}
						if n := len(w.Mail(host)); (n == 1) != slices.Contains([]string{"NOOP", "RSET", "QUIT"}, verb) {
							t.Errorf("the host has accepted %d messages", n)
						}
						// In the other half of the session the replies are the usual ones.
						if verb == "MAIL" {
							other := &tls.Config{RootCAs: w.Roots(), ServerName: host}
							if secure {
								other = nil
							}
							if step, err := send(dial(), other); err != nil {
								t.Errorf("with the usual replies %q fails: %v", step, err)
							}
						}
					})
				})
			}
		}
	}
}

// say sends lines, one after the other, and returns the replies, the greeting first.
func say(conn net.Conn, lines ...string) (replies []string) {
	c := textproto.NewConn(conn)
	for i := 0; ; i++ {
		code, text, err := c.ReadResponse(0)
		if err != nil {
			return append(replies, err.Error())
		}
		replies = append(replies, strings.ReplaceAll(strconv.Itoa(code)+" "+text, "\n", "|"))
		if i == len(lines) {
			return replies
		}
		c.PrintfLine("%s", lines[i])
	}
}

func TestAnMXKeepsTheOrderOfCommands(t *testing.T) {
	for name, test := range map[string]struct {
		mx    mtaststest.MX
		lines []string
		want  []string
	}{
		"STARTTLS in lower case": {mtaststest.MX{Replies: mtaststest.Replies{"EHLO": "250-mx.example.com\n250 starttls"}},
			[]string{"EHLO a", "STARTTLS"}, []string{"220 mx.example.com ESMTP", "250 mx.example.com|starttls", "220 2.0.0 Ready to start TLS"}},
		"HELO has no extensions": {mtaststest.MX{Replies: mtaststest.Replies{"EHLO": "502 5.5.1 what"}},
			[]string{"EHLO a", "HELO a"}, []string{"220 mx.example.com ESMTP", "502 5.5.1 what", "250 mx.example.com"}},
		"no STARTTLS": {mtaststest.MX{NoSTARTTLS: true},
			[]string{"EHLO a", "STARTTLS", "NOOP"}, []string{"220 mx.example.com ESMTP", "250 mx.example.com", "502 5.5.1 STARTTLS is not offered", "250 2.0.0 Ok"}},
		"STARTTLS refused": {mtaststest.MX{RefuseSTARTTLS: true},
			[]string{"EHLO a", "STARTTLS", "NOOP"}, []string{"220 mx.example.com ESMTP", "250 mx.example.com|STARTTLS", "454 4.7.0 TLS not available due to local problem", "250 2.0.0 Ok"}},
		"554 at the beginning": {mtaststest.MX{Replies: mtaststest.Replies{"": "554 no"}},
			[]string{"EHLO a", "MAIL FROM:<>", "QUIT", "NOOP"}, []string{"554 no", "503 5.5.1 No service here", "503 5.5.1 No service here", "221 2.0.0 Bye", "EOF"}},
		"421 at the beginning": {mtaststest.MX{Replies: mtaststest.Replies{"": "421 later"}},
			[]string{"EHLO a"}, []string{"421 later", "EOF"}},
		"no recipient taken": {mtaststest.MX{Replies: mtaststest.Replies{"RCPT": "550 no"}},
			[]string{"MAIL FROM:<>", "RCPT TO:<b@example.com>", "DATA"}, []string{"220 mx.example.com ESMTP", "250 2.1.0 Ok", "550 no", "503 5.5.1 Need RCPT command"}},
		"no sender taken": {mtaststest.MX{Replies: mtaststest.Replies{"MAIL": "530 5.7.0 TLS first"}},
			[]string{"MAIL FROM:<>", "RCPT TO:<b@example.com>"}, []string{"220 mx.example.com ESMTP", "530 5.7.0 TLS first", "503 5.5.1 Need MAIL command"}},
		"RSET ends a transaction": {mtaststest.MX{},
			[]string{"MAIL FROM:<>", "MAIL FROM:<>", "RSET", "RCPT TO:<b@example.com>", "MAIL FROM:<>"},
			[]string{"220 mx.example.com ESMTP", "250 2.1.0 Ok", "503 5.5.1 Nested MAIL command", "250 2.0.0 Ok", "503 5.5.1 Need MAIL command", "250 2.1.0 Ok"}},
		"unknown command": {mtaststest.MX{}, []string{"XFOO"}, []string{"220 mx.example.com ESMTP", "502 5.5.2 Command not recognized"}},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, w *mtaststest.World, dial func() net.Conn) {
				w.AddMX(host, test.mx)
				got := say(dial(), test.lines...)
				if !slices.Equal(got, test.want) {
					t.Errorf("got  %q\nwant %q", got, test.want)
				}
			})
		})
	}
}

func TestAnEmptyReplyIsSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := mtaststest.NewWorld()
		w.AddMX(host, mtaststest.MX{Replies: mtaststest.Replies{"MAIL": ""}})
		conn, err := w.Dial(t.Context(), "tcp", host+":25")
		conn = connected(t, conn, err)
		begin := time.Now()
		step, err := send(conn, nil)
		var late net.Error
		if step != "MAIL" || !errors.As(err, &late) || !late.Timeout() || time.Since(begin) != 10*time.Second {
			t.Errorf("%q failed after %v: %v; want a time-out", step, time.Since(begin), err)
		}
	})
}

func TestAddMXPanicsAtARepliesKeyThatNoCommandMatches(t *testing.T) {
	for _, verb := range []string{"mail", "MAIL FROM", "GREETING", " "} {
		for _, mx := range []mtaststest.MX{{Replies: mtaststest.Replies{verb: "550 no"}}, {TLSReplies: mtaststest.Replies{verb: "550 no"}}} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("AddMX accepts the key %q", verb)
					}
				}()
				mtaststest.NewWorld().AddMX(host, mx)
			}()
		}
	}
}

// A client that sends more commands can still read the last reply and then the end. The host
// has unread octets, but the connection is not reset.
func TestAClientThatSendsOnCanReadTheLastReply(t *testing.T) {
	for name, reply := range map[string]string{"421": "421 4.3.2 later", "cut": mtaststest.HangUp} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, w *mtaststest.World, dial func() net.Conn) {
				w.AddMX(host, mtaststest.MX{Replies: mtaststest.Replies{"MAIL": reply}})
				conn := dial()
				io.WriteString(conn, "MAIL FROM:<>\r\n")
				for range 1000 {
					if _, err := io.WriteString(conn, strings.Repeat("NOOP\r\n", 100)); err != nil {
						t.Fatal(err)
					}
				}
				want := "220 mx.example.com ESMTP\r\n"
				if reply != mtaststest.HangUp {
					want += reply + "\r\n"
				}
				if got, err := io.ReadAll(conn); err != nil || string(got) != want {
					t.Errorf("read %q, error %v; want %q", got, err, want)
				}
			})
		})
	}
}
