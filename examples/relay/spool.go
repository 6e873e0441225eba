package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A spool is a directory that has two files for each message: ID.eml is its text, which never
// changes, and ID.json is its envelope, which is replaced. A text without an envelope is not in the
// spool. A file whose name begins with .new- is unfinished. Any other file is left alone: the
// directory could be the wrong one.
type spool struct {
	dir string
	log func(format string, args ...any)
}

// A message is what an envelope has. All its recipients are at one domain, so that they share
// transactions and attempts.
type message struct {
	ID          string `json:"-"`
	From        string // "" for a bounce
	To          []recipient
	Arrived     time.Time
	TLSOptional bool `json:",omitempty"` // see delivery.Message
	Tries       int
	Next        time.Time // of the next attempt

	// Bounce is the ID of a bounce whose text is in the spool, and whose envelope may not be: see
	// queue.finish.
	Bounce string `json:",omitempty"`

	hop string // only one attempt at a time is made for it
}

// A recipient has neither got the message nor been bounced.
type recipient struct {
	Address string
	Error   string `json:",omitempty"` // of the last attempt
}

func (s *spool) path(id, ext string) string { return filepath.Join(s.dir, id+ext) }

// write writes a new file, and returns its unfinished name.
func (s *spool) write(text io.Reader) (temp string, err error) {
	f, err := os.CreateTemp(s.dir, ".new-")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), err
}

// add adds messages with the text in temp. After an error none of them is in the spool.
func (s *spool) add(temp string, messages ...*message) error {
	for _, m := range messages {
		err := os.Link(temp, s.path(m.ID, ".eml"))
		if err == nil {
			err = s.save(m)
		}
		if err != nil {
			for _, m := range messages {
				s.remove(m)
			}
			return err
		}
	}
	return nil
}

// put writes a file, or replaces it. It is on disk when put returns nil.
func (s *spool) put(id, ext string, content []byte) error {
	temp, err := s.write(bytes.NewReader(content))
	if err != nil {
		return err
	}
	if err := os.Rename(temp, s.path(id, ext)); err != nil {
		os.Remove(temp)
		return err
	}
	return s.sync()
}

// save replaces the envelope of m.
func (s *spool) save(m *message) error {
	envelope, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.put(m.ID, ".json", envelope)
}

// remove removes m: first the envelope, without which it is not in the spool.
func (s *spool) remove(m *message) error {
	if err := os.Remove(s.path(m.ID, ".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	os.Remove(s.path(m.ID, ".eml")) // or else load does it
	return nil
}

// sync makes the names in the directory durable.
func (s *spool) sync() error {
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// load returns all messages and removes what is unfinished. It leaves alone an envelope that it cannot
// read, and its text.
func (s *spool) load() ([]*message, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var messages []*message
	keep := make(map[string]bool) // texts
	for _, e := range entries {
		id, ext, _ := strings.Cut(e.Name(), ".")
		switch {
		case strings.HasPrefix(e.Name(), ".new-") || e.Name() == statusName:
			err = errors.Join(err, os.Remove(filepath.Join(s.dir, e.Name())))
		case ext == "json" && isID(id):
			keep[id] = true
			m, cause := s.read(id)
			if cause != nil {
				s.log("%s: not in the queue: %v", id, cause)
				continue
			}
			keep[m.Bounce] = true
			messages = append(messages, m)
		}
	}
	for _, e := range entries {
		if id, text := strings.CutSuffix(e.Name(), ".eml"); text && isID(id) && !keep[id] {
			err = errors.Join(err, os.Remove(s.path(id, ".eml")))
		}
	}
	return messages, err
}

// isID reports whether s can be a result of rand.Text.
func isID(s string) bool {
	return len(s) >= 26 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

func (s *spool) read(id string) (*message, error) {
	envelope, err := os.ReadFile(s.path(id, ".json"))
	if err != nil {
		return nil, err
	}
	m := &message{ID: id}
	if err := json.Unmarshal(envelope, m); err != nil {
		return nil, err
	}
	if len(m.To) == 0 && m.Bounce == "" {
		return nil, errors.New("it has no recipient")
	}
	_, err = os.Stat(s.path(id, ".eml"))
	return m, err
}
