package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/examples/internal/testnet"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// messages are all messages. change changes the Internet before n of them.
var messages = []struct {
	n      int
	to     string
	title  string
	change func(*testnet.Net)
}{
	{3, testnet.EnforceDomain, "", func(net *testnet.Net) {
		net.Publish(testnet.EnforceDomain, "1", mtasts.ModeEnforce, testnet.EnforceMX)
	}},
	{2, testnet.TestingDomain, "its MX has an expired certificate", func(net *testnet.Net) {
		net.Publish(testnet.TestingDomain, "1", mtasts.ModeTesting, testnet.TestingMX)
		net.World.AddMX(testnet.TestingMX, mtaststest.MX{Certificate: mtaststest.Expired})
	}},
	{2, testnet.EnforceDomain, "STARTTLS is stripped", func(net *testnet.Net) {
		net.World.AddMX(testnet.EnforceMX, mtaststest.MX{NoSTARTTLS: true})
	}},
	{1, testnet.EnforceDomain, "the certificate is for another host", func(net *testnet.Net) {
		net.World.AddMX(testnet.EnforceMX, mtaststest.MX{Certificate: mtaststest.WrongName})
	}},
	{1, testnet.EnforceDomain, "the MX record is forged", func(net *testnet.Net) {
		net.SetMX(testnet.EnforceDomain, testnet.AttackerMX)
	}},
}

// sendMessages sends the messages. Each is one session.
func sendMessages(ctx context.Context, w io.Writer, net *testnet.Net) error {
	fmt.Fprintf(w, "%-8s  %-17s  %-35s  %s\n", "messages", "to", "", "outcome")
	for _, m := range messages {
		m.change(net)
		outcome := "delivered"
		for range m.n {
			err := net.Sender.Deliver(ctx, delivery.Message{
				From: "alice@sender.example",
				To:   []string{"bob@" + m.to},
				Data: strings.NewReader("Subject: hello\n\nHello.\n"),
				Last: true, // there is no queue
			}).Err()
			if _, held := errors.AsType[*mtasts.Error](err); held {
				outcome = "deferred"
			} else if err != nil {
				return err
			}
		}
		fmt.Fprintf(w, "%8d  %-17s  %-35s  %s\n", m.n, m.to, m.title, outcome)
	}
	return nil
}
