package main

import (
	"testing"

	"github.com/mtasts/go-mtasts/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
