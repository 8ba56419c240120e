// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/edits"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// The environment of a child process that renders: the output, the source, and whether it kills itself when only the
// video does not have its final name.
const envOutput, envSource, envSuicide = "RENDER_TEST_OUTPUT", "RENDER_TEST_SOURCE", "RENDER_TEST_SUICIDE"

func TestMain(m *testing.M) {
	if output := os.Getenv(envOutput); output != "" {
		if err := child(output); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(output string) error {
	tools, err := media.FindTools("", "")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(edits.Path(output))
	if err != nil {
		return err
	}
	document, err := edits.Parse(text)
	if err != nil {
		return err
	}
	o := Options{Tools: tools, Limits: media.DefaultLimits(), Output: output, Source: os.Getenv(envSource),
		Edits: document, Mode: 0o600, Tiles: 4}
	if os.Getenv(envSuicide) != "" {
		o.Own = func(string, string) error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) }
	}
	_, err = Run(context.Background(), o)
	return err
}

// TestKilledWhileRendering kills a rendering at random moments, and when everything but the video has its final name.
// The next rendering must find all of the revision, or nothing. KILL_ROUNDS is the number of kills, 6 by default.
func TestKilledWhileRendering(t *testing.T) {
	kills, err := strconv.Atoi(os.Getenv("KILL_ROUNDS"))
	if err != nil {
		kills = 6
	}
	if testing.Short() {
		kills = 3
	}
	r := newRig(t, "mp4", h264, func(r *rig) { r.options.Preset = "ultrafast" })
	first, firstReport := read(t, r.output), read(t, report.Path(r.output))
	var whole time.Duration
	for i := range kills {
		r.edit(drawn(30, 40, 100, float64(50+i)))
		text, err := r.document.Encode()
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(edits.Path(r.output), text, 0o600))
		command := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this very test
		command.Env = append(os.Environ(), envOutput+"="+r.output, envSource+"="+r.source)
		if i%3 == 2 {
			command.Env = append(command.Env, envSuicide+"=1")
		}
		start := time.Now()
		require.NoError(t, command.Start())
		if i%3 != 2 && i > 0 {
			after := time.Duration(rand.Float64() * 1.1 * float64(whole))
			time.AfterFunc(after, func() { _ = command.Process.Kill() })
		}
		_ = command.Wait()
		if i == 0 {
			whole = time.Since(start)
		}
		require.NoError(t, Recover(filepath.Dir(r.output)))
		for _, name := range names(t, filepath.Dir(r.output)) {
			assert.False(t, strings.HasPrefix(name, "."), "kill %d left %s", i, name)
		}
		checkRevisions(t, r)
	}
	assert.Equal(t, first, read(t, r.output))
	assert.Equal(t, firstReport, read(t, report.Path(r.output)))
	r.edit(drawn(30, 40, 100, 30))
	r.render()
	checkRevisions(t, r)
}

// checkRevisions makes sure that each revision is complete.
func checkRevisions(t *testing.T, r *rig) {
	t.Helper()
	latest := Latest(r.output)
	want := map[string]bool{filepath.Base(edits.Path(r.output)): true, filepath.Base(r.output): true,
		filepath.Base(report.Path(r.output)): true}
	for n := 2; n <= latest; n++ {
		path := Path(r.output, n)
		made, err := report.Read(report.Path(path))
		require.NoError(t, err)
		hash, err := report.Identify(t.Context(), path)
		require.NoError(t, err)
		assert.Equal(t, made.Output, hash)
		document, err := edits.Parse(read(t, edits.Path(path)))
		require.NoError(t, err)
		assert.Len(t, document.Operations, made.Revision.Operations)
		for _, companion := range []string{path, report.Path(path), edits.Path(path), report.SheetPath(path)} {
			want[filepath.Base(companion)] = true
		}
	}
	for _, name := range names(t, filepath.Dir(r.output)) {
		assert.True(t, want[name], "%s belongs to no revision", name)
	}
}
