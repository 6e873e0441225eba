package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/examples/internal/testnet"
	"github.com/mtasts/go-mtasts/mtasts"
)

// A stage is the world of the steps, and the sender.
type stage struct {
	*testnet.Net
	db string // the file in which the sender caches policies

	sent int // messages so far
}

// newStage starts the mail servers and the sender.
func newStage(dir string) (*stage, error) {
	net, err := testnet.New()
	if err != nil {
		return nil, err
	}
	s := &stage{Net: net, db: filepath.Join(dir, "mta-sts.db")}
	if err := s.start(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// start starts the sender with the policies in its file.
func (s *stage) start() error {
	policies, err := mtasts.Open(s.db, s.World.Options())
	if err != nil {
		return err
	}
	s.Sender.Policies = policies
	return nil
}

// restart ends the sender and starts it again.
func (s *stage) restart() error {
	if err := s.Sender.Policies.Close(); err != nil {
		return err
	}
	return s.start()
}

// play makes the changes of a step, sends its message, and finds the outcome.
func (s *stage) play(ctx context.Context, step step) (finding, error) {
	if step.restart {
		if err := s.restart(); err != nil {
			return finding{}, err
		}
	}
	if step.change != nil {
		step.change(s)
	}
	s.sent++
	subject := fmt.Sprintf("Subject: message %d\n", s.sent)
	earlier := len(s.World.Events())
	err := s.Sender.Deliver(ctx, delivery.Message{
		From: "alice@sender.example",
		To:   []string{"bob@" + step.to},
		Data: strings.NewReader(subject + "\nHello.\n"),
		Last: true, // there is no queue
	}).Err()
	found := s.find(subject, s.World.Events()[earlier:], err)
	if delivered := found.receivedBy != ""; delivered != (err == nil) {
		return found, fmt.Errorf("message %d: %v, but the sender returned: %v", s.sent, found, err)
	}
	return found, nil
}
