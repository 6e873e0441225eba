package fetch

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"hash"
	"net"
	"slices"
	"strings"
	"testing"
)

// The types of TLS records (RFC 8446, Section 5.1).
const (
	recordCipherChange = 20
	recordAlert        = 21
	recordHandshake    = 22
	recordData         = 23
)

// A sealer continues a TLS session of crypto/tls, with records that crypto/tls never
// makes.
type sealer struct {
	net.Conn
	version uint16
	seq     uint64
	aead    cipher.AEAD
	iv      []byte

	// TLS 1.3 alone (RFC 8446, Section 7)
	hash   func() hash.Hash
	keyLen int
	secret []byte
}

// sealed serves one connection: it does the handshake, reads a request, and then calls
// send.
func sealed(t *testing.T, version uint16, send func(*sealer)) net.Addr {
	t.Helper()
	return serveRaw(t, func(raw net.Conn) {
		var keys strings.Builder
		record := &recorded{Conn: raw}
		conn := tls.Server(record, &tls.Config{
			Certificates: []tls.Certificate{goodCert()},
			MinVersion:   version,
			MaxVersion:   version,
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, // of TLS 1.2
			KeyLogWriter: &keys,
			// The first record after the handshake comes from the sealer.
			SessionTicketsDisabled: true,
		})
		if _, err := conn.Read(make([]byte, 4096)); err != nil {
			t.Errorf("no request: %v", err)
			return
		}
		s := &sealer{Conn: raw, version: version}
		if version == tls.VersionTLS13 {
			_, secret := logged(keys.String(), "SERVER_TRAFFIC_SECRET_0")
			s.start13(conn.ConnectionState().CipherSuite, secret)
		} else {
			clientRandom, master := logged(keys.String(), "CLIENT_RANDOM")
			s.start12(master, clientRandom, record.sent[11:43])
		}
		send(s)
	})
}

// recorded keeps what is sent. The first record of a server is its hello, whose
// random follows headers of 5 and 4 octets and a version.
type recorded struct {
	net.Conn
	sent []byte
}

func (o *recorded) Write(b []byte) (int, error) {
	o.sent = append(o.sent, b...)
	return o.Conn.Write(b)
}

// logged returns the values after a label in a key log.
func logged(log, label string) (clientRandom, secret []byte) {
	_, line, _ := strings.Cut(log, label)
	if _, err := fmt.Sscanf(line, " %x %x", &clientRandom, &secret); err != nil {
		panic(err)
	}
	return clientRandom, secret
}

func (s *sealer) start13(suite uint16, secret []byte) {
	switch suite {
	case tls.TLS_AES_128_GCM_SHA256:
		s.hash, s.keyLen = sha256.New, 16
	case tls.TLS_AES_256_GCM_SHA384:
		s.hash, s.keyLen = sha512.New384, 32
	default:
		panic("a session with " + tls.CipherSuiteName(suite))
	}
	s.use(secret)
}

// use starts to use new keys (RFC 8446, Section 7.3).
func (s *sealer) use(secret []byte) {
	s.secret, s.seq = secret, 0
	s.aead = gcm(s.expand("key", s.keyLen))
	s.iv = s.expand("iv", 12)
}

// update changes the keys after a KeyUpdate (RFC 8446, Section 7.2).
func (s *sealer) update() { s.use(s.expand("traffic upd", s.hash().Size())) }

// expand is HKDF-Expand-Label with an empty context (RFC 8446, Section 7.1).
func (s *sealer) expand(label string, size int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(size))
	info = append(info, byte(len("tls13 "+label)))
	info = append(info, "tls13 "+label+"\x00"...)
	key, err := hkdf.Expand(s.hash, s.secret, string(info), size)
	if err != nil {
		panic(err)
	}
	return key
}

// start12 makes the keys of TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 (RFC 5246,
// Sections 5 and 6.3; RFC 5288, Section 3). One record, the Finished, has been
// sent under them.
func (s *sealer) start12(master, clientRandom, serverRandom []byte) {
	mac := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, master)
		h.Write(bytes.Join(parts, nil))
		return h.Sum(nil)
	}
	seed := slices.Concat([]byte("key expansion"), serverRandom, clientRandom)
	var block []byte
	for a := mac(seed); len(block) < 40; a = mac(a) {
		block = append(block, mac(a, seed)...)
	}
	s.seq = 1
	s.aead, s.iv = gcm(block[16:32]), block[36:40]
}

// record returns a record with content of any type.
func (s *sealer) record(kind byte, content []byte) []byte {
	seq := binary.BigEndian.AppendUint64(nil, s.seq)
	s.seq++
	if s.version == tls.VersionTLS12 {
		data := binary.BigEndian.AppendUint16(append(slices.Clone(seq), kind, 3, 3), uint16(len(content)))
		return plainRecord(kind, s.aead.Seal(slices.Clone(seq), slices.Concat(s.iv, seq), content, data))
	}
	nonce := slices.Clone(s.iv)
	for i, b := range seq {
		nonce[4+i] ^= b
	}
	head := binary.BigEndian.AppendUint16([]byte{recordData, 3, 3}, uint16(len(content)+1+s.aead.Overhead()))
	return s.aead.Seal(head, nonce, append(slices.Clone(content), kind), head)
}

// records returns a record for each of contents.
func (s *sealer) records(kind byte, contents ...string) (all []byte) {
	for _, content := range contents {
		all = append(all, s.record(kind, []byte(content))...)
	}
	return all
}

// plainRecord returns a record with content as it is, encrypted or not.
func plainRecord(kind byte, content []byte) []byte {
	head := binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(len(content)))
	return append(head, content...)
}

// handshakeMessage returns a message of the handshake protocol (RFC 8446,
// Section 4).
func handshakeMessage(kind byte, content []byte) []byte {
	size := len(content)
	return append([]byte{kind, byte(size >> 16), byte(size >> 8), byte(size)}, content...)
}

func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}
