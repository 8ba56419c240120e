// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/confine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var foundTools = sync.OnceValues(confinedTools)

// confinedTools returns tools as confined as this system allows.
func confinedTools() (Tools, error) {
	tools, err := FindTools("", "")
	if err != nil {
		return tools, err
	}
	return tools.Confine(context.Background(), confine.Auto, nil)
}

func testTools(t testing.TB) Tools {
	t.Helper()
	tools, err := foundTools()
	require.NoError(t, err)
	return tools
}

// freeTools returns tools that are not confined: their children can leave the process group.
func freeTools(t testing.TB) Tools {
	t.Helper()
	tools, err := testTools(t).Confine(t.Context(), confine.Off, nil)
	require.NoError(t, err)
	return tools
}

// skipIfShort skips a case of a long test with -short, unless it is one of the few that are kept.
func skipIfShort(t *testing.T, kept bool) {
	t.Helper()
	if testing.Short() && !kept {
		t.Skip("other cases are enough with -short")
	}
}

// clip makes a video from ffmpeg's arguments, split at spaces, and returns its path.
func clip(t testing.TB, name, args string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	ffmpeg(t, strings.Fields("-y "+args), path)
	return path
}

func ffmpeg(t testing.TB, args []string, last ...string) {
	t.Helper()
	args = append(append([]string{"-nostdin", "-v", "error"}, args...), last...)
	out, err := exec.Command("ffmpeg", args...).CombinedOutput()
	require.NoError(t, err, "ffmpeg %q: %s", args, out)
}

// ffprobe returns one line per section, for example "stream|width=64|height=48".
func ffprobe(t testing.TB, path, entries string, more ...string) []string {
	t.Helper()
	args := append([]string{"-v", "error", "-of", "compact", "-show_entries", entries}, more...)
	out, err := exec.Command("ffprobe", append(args, path)...).Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}

// createFor creates a writer with a new plan.
func (t Tools) createFor(ctx context.Context, path string, info Info, options WriteOptions) (*Writer, error) {
	plan, err := NewPlan(info, options)
	if err != nil {
		return nil, err
	}
	return t.Create(ctx, path, plan, nil)
}

// transcode passes every frame of a video through the package, changed by edit if that is not nil, and returns the
// frames' PTS.
func transcode(ctx context.Context, tools Tools, path, final string, read ReadOptions, write WriteOptions,
	edit func(*Frame)) (pts []int64, err error) {
	info, err := tools.Probe(ctx, path, Limits{})
	if err != nil {
		return nil, err
	}
	plan, err := NewPlan(info, write)
	if err != nil {
		return nil, err
	}
	r, err := tools.Open(ctx, plan.Info(), read)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	w, err := tools.Create(ctx, final, plan, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Abort() }()
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			if r.Damage() != nil {
				w.EndUnknown()
			}
			return pts, w.Finish(ctx)
		}
		if err != nil {
			return pts, err
		}
		if edit != nil {
			edit(f)
		}
		pts = append(pts, f.PTS)
		err = w.Write(f)
		f.Release()
		if err != nil {
			return pts, err
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}
