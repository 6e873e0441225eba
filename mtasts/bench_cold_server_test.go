package mtasts_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// coldEnv makes this test binary the other side of BenchmarkCold: a DNS server and policy
// hosts. They are a process of their own, so that their CPU time is not counted.
const coldEnv = "MTASTS_TEST_COLD"

// coldNone is a domain without a policy.
const coldNone = "none.test"

// coldDomain is domain n of those that publish a policy, which is the same for all.
func coldDomain(n int) string { return fmt.Sprintf("d%d.test", n) }

const coldPolicy = "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.net\r\nmx: mx2.example.net\r\nmx: *.example.org\r\nmax_age: 604800\r\n"

// coldServer writes one line to standard output: the addresses of its servers, and the
// certificate of its authority. Then it reads numbers of domains, and writes a line after
// each once it has that many certificates. It ends when its standard input does, so it does
// not outlive its parent.
//
// Each policy host has a certificate for its own name, as on the Internet. They are made
// beforehand, because to sign one costs as much as a handshake.
func coldServer() {
	ca := testpki.Must(testpki.New())
	dns := testpki.Must(net.ListenPacket("udp", "127.0.0.1:0"))
	go coldDNS(dns)
	var (
		mu    sync.RWMutex
		certs = make(map[string]*tls.Certificate)
	)
	https := testpki.Must(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			mu.RLock()
			defer mu.RUnlock()
			return certs[hello.ServerName], nil
		},
	}))
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, coldPolicy)
		}),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go server.Serve(https)
	fmt.Println(dns.LocalAddr(), https.Addr(), base64.StdEncoding.EncodeToString(ca.PEM()))

	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var n int
		fmt.Sscan(in.Text(), &n)
		for i := len(certs); i < n; i++ {
			host := "mta-sts." + coldDomain(i)
			cert := testpki.Must(ca.Issue(host))
			mu.Lock()
			certs[host] = &cert
			mu.Unlock()
		}
		fmt.Println("ready")
	}
	os.Exit(0)
}

// coldDNS answers queries for TXT with a record, and queries for A with 127.0.0.1. For all
// else, and for coldNone, it has no data. It parses no more of a query than that takes.
func coldDNS(conn net.PacketConn) {
	const id = "v=STSv1; id=20260101T000000;"
	txt := append([]byte{0, byte(len(id) + 1), byte(len(id))}, id...)
	a := []byte{0, 4, 127, 0, 0, 1}
	packet := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(packet)
		if err != nil {
			return
		}
		end := 12 // the header (RFC 1035, Section 4.1.1)
		for end < n && packet[end] != 0 {
			end += 1 + int(packet[end])
		}
		end += 5 // the root, the type and the class
		if end > n {
			continue
		}
		var data []byte
		kind := packet[end-4 : end-2]
		switch binary.BigEndian.Uint16(kind) {
		case 1:
			data = a
		case 16:
			data = txt
		}
		answer := append([]byte(nil), packet[:end]...)
		copy(answer[2:12], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}) // a recursive server's response to one question
		if data != nil && !bytes.Contains(packet[:end], []byte("\x04none\x04test")) {
			answer[7] = 1
			answer = append(answer, 0xc0, 12, kind[0], kind[1], 0, 1, 0, 0, 0, 60)
			answer = append(answer, data...)
		}
		conn.WriteTo(answer, from)
	}
}

// coldHost splits the first line of coldServer.
func coldHost(line string) (dns, https string, roots []byte, err error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return "", "", nil, fmt.Errorf("the other process says %q", line)
	}
	roots, err = base64.StdEncoding.DecodeString(fields[2])
	return fields[0], fields[1], roots, err
}
