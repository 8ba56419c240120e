// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// TestPrepareLeavesSources checks that a batch leaves sources where they are, whatever the configuration does with
// them.
func TestPrepareLeavesSources(t *testing.T) {
	folder, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	folder = filepath.Join(folder, "of [2026] {a}")
	require.NoError(t, os.Mkdir(folder, 0o755))
	odd := filepath.Join(folder, "odd[1]{a}*?.mkv")
	require.NoError(t, os.WriteFile(odd, nil, 0o600))
	link := filepath.Join(folder, "link")
	require.NoError(t, os.Symlink(odd, link))
	cfg := config.Default()
	cfg.Watch.Include = []string{"elsewhere"}
	cfg.Output.Directory, cfg.Output.StateDirectory = "/out", "/state"
	cfg.Output.OnSuccess, cfg.Output.MoveTo, cfg.Output.QuarantineDirectory = watch.OnSuccessMove, "/done", "/failed"
	cfg.Output.OnSalvage, cfg.Retention.Unreviewed = config.OnSalvageAsSuccess, true
	cfg.Retention.Outputs = time.Hour

	got, err := Prepare(*cfg, []string{folder, link}, "/other")
	require.NoError(t, err)
	assert.Equal(t, watch.OnSuccessKeep, got.Output.OnSuccess)
	assert.Equal(t, config.OnSalvageKeep, got.Output.OnSalvage)
	assert.Empty(t, got.Output.MoveTo)
	assert.Empty(t, got.Output.QuarantineDirectory)
	assert.False(t, got.Retention.Any())
	assert.Empty(t, got.Output.StateDirectory, "it belongs to another output directory")
	files, err := list(got)
	require.NoError(t, err)
	require.Len(t, files, 2)
	assert.Equal(t, odd, files[1].Path)
	assert.Equal(t, filepath.Base(odd), files[1].Rel)
	assert.Equal(t, watch.OnSuccessMove, cfg.Output.OnSuccess, "it changes a copy")

	got, err = Prepare(*cfg, []string{odd}, "/out")
	require.NoError(t, err)
	assert.Equal(t, "/state", got.Output.StateDirectory)
	_, err = Prepare(*cfg, []string{filepath.Join(folder, "none")}, "/out")
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// TestSamples checks that the longest video of each kind is measured, for the kinds that make up most of the footage.
func TestSamples(t *testing.T) {
	video := func(name string, size int, profile string, length time.Duration) plannedVideo {
		return plannedVideo{info: media.Info{Path: name, Duration: length}, kind: kind{size, profile}}
	}
	var names []string
	for _, p := range samplesOf([]plannedVideo{
		video("short", 100, "", 2*time.Second), video("long", 100, "", 3*time.Second),
		video("few", 200, "", time.Second), video("more", 300, "", 4*time.Second),
		video("ward", 100, "ward", 9*time.Second), video("unknown", 100, "", 0),
	}) {
		names = append(names, p.info.Path)
	}
	assert.Equal(t, []string{"ward", "long", "more"}, names)
	assert.Empty(t, samplesOf(nil))
	here := speed{kind: kind{100, "ward"}}
	assert.Less(t, here.far(kind{400, "ward"}), here.far(kind{100, ""}), "the profile matters most")
	assert.Less(t, here.far(kind{100, "ward"}), here.far(kind{90, "ward"}))
}
