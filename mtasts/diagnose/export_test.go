package diagnose

// WithPort returns a copy of o for policy hosts at another port than 443, where a test may
// not listen.
func (o Options) WithPort(port uint16) *Options {
	o.port = port
	return &o
}
