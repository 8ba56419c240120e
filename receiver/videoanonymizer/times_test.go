// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// TestTimesAreRepaired checks that log record and report count the repaired times of a source.
func TestTimesAreRepaired(t *testing.T) {
	r := start(t, newTestConfig(t))
	dir := t.TempDir()
	part := func(name string, args ...string) string {
		path := filepath.Join(dir, name)
		clip(t, path, append([]string{"-i", "testsrc2=size=160x120:rate=25:duration=1", "-bf", "0"}, args...)...)
		return path
	}
	var joined []byte
	for _, offset := range []string{"100", "5"} {
		text, err := os.ReadFile(part("part.ts", "-c:v", "libx264", "-output_ts_offset", offset))
		require.NoError(t, err)
		joined = append(joined, text...)
	}
	require.NoError(t, os.WriteFile(filepath.Join(r.in, "joined.ts"), joined, 0o600))
	require.NoError(t, os.Rename(part("doubled.mkv", "-bsf:v", "setts=ts='(N-floor((N+1)/5))*40'"),
		filepath.Join(r.in, "doubled.mkv")))
	for name, want := range map[string]media.Repairs{"joined.ts": {ClockSteps: 1}, "doubled.mkv": {Times: 5}} {
		attributes := r.awaitLog(t, "finished", name).Attributes().AsRaw()
		said := func(key string) int { n, _ := attributes[key].(int64); return int(n) }
		assert.Equal(t, want, media.Repairs{
			Times: said("anonymizer.video.times_repaired"), ClockSteps: said("anonymizer.video.clock_steps"),
		}, name)
		var report struct {
			Repairs media.Repairs `json:"source_times"`
		}
		extension := filepath.Ext(name)
		text, err := os.ReadFile(filepath.Join(r.out, name[:len(name)-len(extension)]+"_anonymized"+extension+".report.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &report))
		assert.Equal(t, want, report.Repairs, name)
	}
}

// TestLostPacketIsReported checks that a video with a lost transport stream packet does not fail, but that the damage
// is reported and the source is kept.
func TestLostPacketIsReported(t *testing.T) {
	cfg := newTestConfig(t)
	cfg.Output.OnSuccess = watch.OnSuccessDelete
	r := start(t, cfg)
	path := filepath.Join(t.TempDir(), "lost.ts")
	clip(t, path, "-i", "testsrc2=size=160x120:rate=25:duration=4,noise=alls=20:allf=t", "-c:v", "libx264")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	const packet = 188
	middle := len(text) / packet / 2 * packet
	lost := slices.Concat(text[:middle], text[middle+packet:])
	require.NoError(t, os.WriteFile(filepath.Join(r.in, "lost.ts"), lost, 0o600))
	attributes := r.awaitLog(t, "finished", "lost.ts").Attributes().AsRaw()
	assert.EqualValues(t, 100, attributes["anonymizer.video.frames"])
	assert.NotEmpty(t, attributes["anonymizer.video.damage"])
	assert.Never(t, func() bool {
		_, err := os.Stat(filepath.Join(r.in, "lost.ts"))
		return err != nil
	}, 40*cfg.Watch.StableFor, 20*time.Millisecond)
}
