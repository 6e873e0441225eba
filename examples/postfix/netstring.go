package main

import (
	"bufio"
	"errors"
	"io"
	"strconv"
)

// maxQuery bounds a query: the name of a map, a blank and a next hop, which is a domain
// name of 253 octets with brackets and a port.
const maxQuery = 1024

// errNotQuery says that the input is not the protocol. There is no way to find the
// beginning of the next query, so the connection ends.
var errNotQuery = errors.New("not a netstring of at most 1024 octets")

// readNetstring reads one netstring (https://cr.yp.to/proto/netstrings.txt). It refuses a
// length before it waits for what is that long. At the end of the input, before the first
// octet, the error is io.EOF. The buffer of r must hold maxQuery+1 octets.
func readNetstring(r *bufio.Reader) (string, error) {
	n := 0
	for digits := 0; ; digits++ {
		c, err := r.ReadByte()
		if err == io.EOF && digits > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return "", err
		}
		if c == ':' && digits > 0 {
			break
		}
		// "0" is the only number that begins with a zero.
		if c < '0' || '9' < c || digits > 0 && n == 0 {
			return "", errNotQuery
		}
		if n = 10*n + int(c-'0'); n > maxQuery {
			return "", errNotQuery
		}
	}
	text, err := r.Peek(n + 1)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", err
	}
	if text[n] != ',' {
		return "", errNotQuery
	}
	s := string(text[:n])
	r.Discard(n + 1)
	return s, nil
}

// writeNetstring writes one netstring. An error stays with w until it is flushed.
func writeNetstring(w *bufio.Writer, s []byte) {
	w.WriteString(strconv.Itoa(len(s)))
	w.WriteByte(':')
	w.Write(s)
	w.WriteByte(',')
}
