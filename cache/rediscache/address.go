package rediscache

import (
	"errors"
	"net"
	"os"
	"strings"

	"github.com/valkey-io/valkey-go"
)

// ParseAddress returns the options for a server as a command line names it:
//
//	host:port[,host:port...]        one server, or nodes of a Cluster
//	rediss://user:password@host     a URL of [valkey.ParseURL]: rediss is TLS, redis is not
//	redis://host?master_set=fleet   such a URL for Sentinel
//	/path                           a file that has one of these, since others can read a
//	                                command line with a password
//
// The error has no password.
func ParseAddress(s string) (option valkey.ClientOption, err error) {
	if strings.HasPrefix(s, "/") {
		text, err := os.ReadFile(s)
		if err != nil {
			return option, err
		}
		s = strings.TrimSpace(string(text))
	}
	if strings.Contains(s, "://") {
		if option, err = valkey.ParseURL(s); err != nil { // err may quote a part of the password
			err = errors.New("the URL is malformed; a password needs percent-encoding")
		}
		return option, err
	}
	option.InitAddress = strings.Split(s, ",")
	for _, address := range option.InitAddress {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return option, errors.New("want host:port, a URL, or the /path of a file that has one")
		}
	}
	return option, nil
}
