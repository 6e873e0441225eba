package cache

import "fmt"

// A damage is what is wrong with a file.
type damage string

func (d damage) Error() string { return "the file is damaged: " + string(d) }

const (
	errOrder     damage = "the keys of a page are not in order"
	errCircles   damage = "its pages go in circles"
	errBeginning damage = "the beginning of the entries is missing"
)

func damagef(format string, args ...any) error { return damage(fmt.Sprintf(format, args...)) }
