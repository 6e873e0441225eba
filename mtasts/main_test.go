package mtasts_test

import (
	"os"
	"testing"

	"github.com/mtasts/go-mtasts/internal/leak"
)

// crashEnv makes this test binary the process that TestKilledAtAnyMoment kills, with
// the path of its store.
const crashEnv = "MTASTS_TEST_CRASH"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		storeUntilKilled(path)
	}
	if os.Getenv(coldEnv) != "" {
		coldServer()
	}
	leak.Main(m)
}
