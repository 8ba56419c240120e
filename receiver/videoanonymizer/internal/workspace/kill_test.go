// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

// The environment of a child process that appends corrections: the folders, and the video.
const envIn, envOut, envVideo = "APPEND_TEST_IN", "APPEND_TEST_OUT", "APPEND_TEST_VIDEO"

// TestKilledWhileAppending kills a process that makes corrections, at random moments, and checks that each acknowledged
// correction exists afterward. KILL_ROUNDS is the number of kills, 6 by default.
func TestKilledWhileAppending(t *testing.T) {
	kills, err := strconv.Atoi(os.Getenv("KILL_ROUNDS"))
	if err != nil {
		kills = 6
	}
	r := newRig(t)
	id := r.anonymize("walk.mp4")
	total := 0
	for round := 0; round < kills || total == 0; round++ { // on a busy machine, some are killed before the first one
		r.stop()
		acknowledged := total + appendUntilKilled(t, r, id)
		r.start()
		e, err := r.Edits(t.Context(), id)
		require.NoError(t, err)
		total = len(e.Live)
		assert.GreaterOrEqual(t, total, acknowledged)
		assert.LessOrEqual(t, total, acknowledged+1, "one more may not have been acknowledged")
	}
}

// appendUntilKilled returns how many corrections were acknowledged.
func appendUntilKilled(t *testing.T, r *rig, id consoleapi.VideoID) (acknowledged int) {
	t.Helper()
	const child = "-test.run=^TestAppendingChild$"
	command := exec.CommandContext(t.Context(), os.Args[0], child) //nolint:gosec // this very test
	command.Env = append(os.Environ(), envIn+"="+r.in, envOut+"="+r.out, envVideo+"="+string(id))
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "ready"):
			time.AfterFunc(time.Duration(rand.IntN(200))*time.Millisecond, func() { _ = command.Process.Kill() })
		case strings.HasPrefix(line, "appended"):
			acknowledged++
		}
	}
	_ = command.Wait()
	return acknowledged
}

// TestAppendingChild is the process that TestKilledWhileAppending kills.
func TestAppendingChild(t *testing.T) {
	if os.Getenv(envVideo) == "" {
		t.Skip("it is run by TestKilledWhileAppending")
	}
	r := &rig{t: t, in: os.Getenv(envIn), out: os.Getenv(envOut)}
	r.start()
	fmt.Println("ready")
	for {
		_, err := r.edit(ann, consoleapi.VideoID(os.Getenv(envVideo)), add)
		require.NoError(t, err)
		fmt.Println("appended")
	}
}
