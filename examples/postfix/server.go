package main

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxConns bounds the connections at one time, and with them the look-ups. Those
	// beyond wait in the listener's backlog. Each one ends at its idle limit.
	maxConns = 1024

	// shutdownLimit is how long connections may go on once the server is to end. It is
	// longer than an answer takes.
	shutdownLimit = answerLimit + 5*time.Second
)

// A server serves the socketmap protocol on any number of listeners.
type server struct {
	answer answerer
	log    *slog.Logger

	slots   chan struct{} // one for each connection
	closing chan struct{}
	running sync.WaitGroup

	mu        sync.Mutex
	listeners []net.Listener
	sessions  map[*session]struct{}

	accepted, malformed atomic.Uint64
}

func newServer(answer answerer, log *slog.Logger) *server {
	return &server{
		answer:   answer,
		log:      log,
		slots:    make(chan struct{}, maxConns),
		closing:  make(chan struct{}),
		sessions: make(map[*session]struct{}),
	}
}

// listen serves the connections of l until shutdown.
func (s *server) listen(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, l)
	s.running.Go(func() { s.accept(l) })
}

func (s *server) accept(l net.Listener) {
	for {
		select {
		case s.slots <- struct{}{}: // also during shutdown, if there is one
		default:
			select {
			case s.slots <- struct{}{}:
			case <-s.closing:
				return
			}
		}
		conn, err := l.Accept()
		if err == nil {
			s.accepted.Add(1)
			s.start(conn)
			continue
		}
		<-s.slots
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		s.log.Warn("cannot accept a connection", "error", err) // no file descriptor is left
		select {
		case <-time.After(time.Second):
		case <-s.closing:
			return
		}
	}
}

// start serves a connection on a goroutine.
func (s *server) start(conn net.Conn) {
	session := newSession(conn, s.answer)
	s.mu.Lock()
	s.sessions[session] = struct{}{}
	s.mu.Unlock()
	select {
	case <-s.closing:
		session.drain()
	default:
	}
	s.running.Go(func() {
		if err := session.serve(); errors.Is(err, errNotQuery) {
			s.malformed.Add(1)
		}
		s.mu.Lock()
		delete(s.sessions, session)
		s.mu.Unlock()
		<-s.slots
	})
}

// connections returns how many connections are open.
func (s *server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// shutdown ends the server. All queries that have arrived are answered first, also those on
// connections that are not accepted yet, unless there are maxConns others.
func (s *server) shutdown() {
	close(s.closing)
	s.mu.Lock()
	for _, l := range s.listeners {
		if l, ok := l.(interface{ SetDeadline(time.Time) error }); ok {
			l.SetDeadline(time.Now().Add(drainLimit))
		}
	}
	for session := range s.sessions {
		session.drain()
	}
	s.mu.Unlock()

	cut := time.AfterFunc(shutdownLimit, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for session := range s.sessions {
			session.conn.Close()
		}
	})
	defer cut.Stop()
	s.running.Wait()
	for _, l := range s.listeners {
		l.Close()
	}
}
