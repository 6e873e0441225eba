package main

import (
	"bufio"
	"context"
	"net"
	"sync"
	"time"
)

// The time limits of a connection. Postfix closes one itself that has been idle for 10
// seconds, or open for 100.
const (
	idleLimit  = 30 * time.Second       // between queries
	queryLimit = 10 * time.Second       // from the first octet of a query to its last
	writeLimit = 10 * time.Second       // for the peer to accept what is written
	drainLimit = 250 * time.Millisecond // between queries, once the server is to end
)

// A session is one connection: queries in netstrings, answered in their order.
type session struct {
	conn   net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	answer answerer

	// ctx ends answerLimit after the last read: the queries that came with it share the
	// limit. Postfix sends one at a time.
	ctx    context.Context
	cancel context.CancelFunc

	// began is when the first octet of the query came. If that came with the query before, it is
	// when the next came. It is zero between queries.
	began time.Time

	mu       sync.Mutex
	partial  time.Time // began, at the last read
	draining bool
}

// An answerer appends the reply to a query to b. It may be called concurrently.
type answerer func(ctx context.Context, b []byte, query string) []byte

func newSession(conn net.Conn, answer answerer) *session {
	s := &session{conn: conn, answer: answer, cancel: func() {}}
	s.r = bufio.NewReaderSize((*sessionIO)(s), 4096)
	s.w = bufio.NewWriterSize((*sessionIO)(s), 4096)
	return s
}

// serve answers queries until the peer closes the connection, breaks the protocol or is
// too slow. Its error is io.EOF if the peer closed it between queries.
func (s *session) serve() error {
	defer s.conn.Close()
	defer func() { s.cancel() }()
	reply := make([]byte, 0, 512) // most are shorter
	for {
		s.began = time.Time{}
		query, err := readNetstring(s.r)
		if err != nil {
			s.w.Flush() // the replies to the queries before
			return err
		}
		writeNetstring(s.w, s.answer(s.ctx, reply, query))
	}
}

// drain lets the session end: after the query it is at, and those that have been sent by
// now.
func (s *session) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	s.limitRead()
}

// limitRead sets the deadline of reads. The caller holds mu.
func (s *session) limitRead() {
	switch {
	case !s.partial.IsZero():
		s.conn.SetReadDeadline(s.partial.Add(queryLimit))
	case s.draining:
		s.conn.SetReadDeadline(time.Now().Add(drainLimit))
	default:
		s.conn.SetReadDeadline(time.Now().Add(idleLimit))
	}
}

// sessionIO is a session below its buffers.
type sessionIO session

// Read sends all replies before it waits for more queries.
func (c *sessionIO) Read(p []byte) (int, error) {
	s := (*session)(c)
	if err := s.w.Flush(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.partial = s.began
	s.limitRead()
	s.mu.Unlock()
	n, err := s.conn.Read(p)
	if n > 0 {
		if s.began.IsZero() {
			s.began = time.Now()
		}
		s.cancel()
		s.ctx, s.cancel = context.WithTimeout(context.Background(), answerLimit)
	}
	return n, err
}

func (c *sessionIO) Write(p []byte) (int, error) {
	c.conn.SetWriteDeadline(time.Now().Add(writeLimit))
	return c.conn.Write(p)
}
