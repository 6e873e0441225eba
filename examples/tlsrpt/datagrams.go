package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/mtasts/go-mtasts/examples/internal/testnet"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
)

// runDatagrams sends the messages, and each outcome as a datagram to socket. For "-" it prints
// the datagrams.
func runDatagrams(ctx context.Context, w io.Writer, internet *testnet.Net, socket string) error {
	if socket != "-" {
		return sendDatagrams(ctx, w, internet, socket)
	}
	dir, err := os.MkdirTemp("", "tlsrpt-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	socket = filepath.Join(dir, "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	datagrams := make(chan string, 100)
	go func() {
		defer close(datagrams)
		for b := make([]byte, 64<<10); ; {
			n, err := conn.Read(b)
			if err != nil {
				return // closed
			}
			datagrams <- string(b[:n])
		}
	}()
	if err := sendDatagrams(ctx, w, internet, socket); err != nil {
		return err
	}
	fmt.Fprint(w, "\nThe datagrams:\n\n")
	for _, m := range messages {
		for range m.n {
			select {
			case d := <-datagrams:
				fmt.Fprintln(w, d)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// sendDatagrams sends the messages, and each outcome to socket.
func sendDatagrams(ctx context.Context, w io.Writer, internet *testnet.Net, socket string) error {
	d, err := tlsrpt.NewDatagrams(socket, internet.World.DNS)
	if err != nil {
		return err
	}
	open(internet, d.Report)
	err = sendMessages(ctx, w, internet)
	d.Close()
	if err == nil && d.Dropped() > 0 {
		err = fmt.Errorf("%d outcomes could not be sent to %s: does the collector run?", d.Dropped(), socket)
	}
	return err
}
