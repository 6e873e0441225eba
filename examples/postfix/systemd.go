package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// activated returns the listeners that systemd has opened (sd_listen_fds(3)): those with the
// name "http" apart from the others. It removes what it reads from the environment.
func activated() (socketmap, http []net.Listener, err error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	if pid != strconv.Itoa(os.Getpid()) || count == "" {
		return nil, nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return nil, nil, fmt.Errorf("LISTEN_FDS=%q", count)
	}
	fdNames := strings.Split(names, ":")
	for i := range n {
		fd := 3 + i
		syscall.CloseOnExec(fd)
		file := os.NewFile(uintptr(fd), "socket")
		l, err := net.FileListener(file)
		file.Close()
		if err != nil {
			return nil, nil, fmt.Errorf("socket %d of systemd: %w", i, err)
		}
		if i < len(fdNames) && fdNames[i] == "http" {
			http = append(http, l)
		} else {
			socketmap = append(socketmap, l)
		}
	}
	return socketmap, http, nil
}

// notify tells systemd of a state (sd_notify(3)). Without systemd it does nothing.
func notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte(state))
	return cmp.Or(err, conn.Close())
}

// listenOn opens a listener: host:port, or unix:/path. A socket file that nobody listens on
// any more is replaced. Its group may connect.
func listenOn(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return net.Listen("tcp", address)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("listen on %s: another process does", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		// Linux refuses a connection to a file of any other kind, too.
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
			os.Remove(path)
		}
	}
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o660)
	}
	return l, err
}

// reloading is the state that begins a reload. systemd compares its time with its own.
func reloading() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return "RELOADING=1"
	}
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}
