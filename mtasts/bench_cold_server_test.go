package mtasts_test

import (
	"bufio"
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

// coldEnv makes this test binary the other side of BenchmarkCold: a DNS server and
// policy hosts in a process of their own, so that their CPU time is not ours.
const coldEnv = "MTASTS_TEST_COLD"

// coldDomain is the name of domain n, each of which publishes the same.
func coldDomain(n int) string { return fmt.Sprintf("d%d.test", n) }

const coldPolicy = "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.net\r\nmx: mx2.example.net\r\nmx: *.example.org\r\nmax_age: 604800\r\n"

// coldServer says on standard output where its servers are and who its authority is.
// It then reads numbers of domains, and answers each once it has that many
// certificates; and ends when its standard input does, hence with its parent.
//
// Each policy host has a certificate for its own name, since no wildcard stands for
// the domain in mta-sts.DOMAIN. They are made beforehand: to sign one costs as much as
// a handshake, and one with a thousand names would cost the client more than it meets
// elsewhere.
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

// coldDNS answers every question: TXT with a record, A with this machine, and
// everything else with the word that there is no such record. It reads no more of a
// query than that takes, to cost little beside what is measured.
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
		end := 12 // of the header (RFC 1035, Section 4.1.1)
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
		if data != nil {
			answer[7] = 1
			answer = append(answer, 0xc0, 12, kind[0], kind[1], 0, 1, 0, 0, 0, 60)
			answer = append(answer, data...)
		}
		conn.WriteTo(answer, from)
	}
}

// coldHost cuts the output of coldServer's first line.
func coldHost(line string) (dns, https string, roots []byte, err error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return "", "", nil, fmt.Errorf("the other process says %q", line)
	}
	roots, err = base64.StdEncoding.DecodeString(fields[2])
	return fields[0], fields[1], roots, err
}
