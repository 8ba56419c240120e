// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withReport gives each output a report as its companion.
func withReport(r *rig) {
	r.opts.Companions = func(output string) []string { return []string{output + ".json"} }
}

// writeBoth writes the job's output and report, complete but not yet published.
func writeBoth(t *testing.T, job *Job) Companion {
	t.Helper()
	c := Companion{Temp: job.TempFor(".json"), Path: job.Output + ".json"}
	write(t, job.Temp, "masked")
	write(t, c.Temp, "report")
	return c
}

func TestPublishCompanion(t *testing.T) {
	r := newRig(t, withReport)
	r.drop("walk.mkv", "a video")
	job := r.take()
	require.NoError(t, job.Publish(writeBoth(t, job)))
	require.NoError(t, job.Done())
	assert.Equal(t, []string{"walk_anonymized.mkv", "walk_anonymized.mkv.json"}, tree(t, r.out))
	assert.True(t, r.w.journal.isOutput(job.Output+".json"), "it never counts as a source")
	r.restart()
	r.restart() // from a compacted journal
	assert.True(t, r.w.journal.isOutput(job.Output+".json"))
	r.idle()
}

func TestPublishCompanionNeverReplaces(t *testing.T) {
	r := newRig(t, withReport)
	write(t, filepath.Join(r.out, "walk_anonymized.mkv.json"), "somebody else's")
	r.drop("walk.mkv", "a video")
	job := r.take()
	assert.Equal(t, filepath.Join(r.out, "walk_anonymized-2.mkv"), job.Output)

	c := writeBoth(t, job)
	write(t, c.Path, "somebody else's")
	require.ErrorIs(t, job.Publish(c), ErrTaken)
	assert.NoFileExists(t, job.Output)
	assert.Equal(t, "somebody else's", read(t, c.Path))

	require.NoError(t, os.Remove(c.Path))
	write(t, job.Output, "somebody else's")
	require.ErrorIs(t, job.Publish(c), ErrTaken)
	assert.NoFileExists(t, c.Path, "a report without its output")
	require.NoError(t, job.Retry("exists", nil, false))
	assert.Equal(t, []string{"walk_anonymized-2.mkv", "walk_anonymized.mkv.json"}, tree(t, r.out))
}

func TestLongOutputNameWithCompanion(t *testing.T) {
	r := newRig(t, withReport)
	r.drop(strings.Repeat("w", 240)+".mkv", "a video")
	job := r.take()
	require.NoError(t, job.Publish(writeBoth(t, job)))
	require.NoError(t, job.Done())
}

// TestRecoverCompanionAfterCrash simulates that the collector dies between the steps of publishing.
func TestRecoverCompanionAfterCrash(t *testing.T) {
	tests := map[string]struct {
		before func(t *testing.T, job *Job, c Companion)
		done   bool
	}{
		"intended": {done: true, before: func(*testing.T, *Job, Companion) {}},
		"companion named": {done: true, before: func(t *testing.T, job *Job, c Companion) {
			require.NoError(t, os.Rename(c.Temp, c.Path))
		}},
		"both named": {done: true, before: func(t *testing.T, job *Job, c Companion) {
			require.NoError(t, os.Rename(c.Temp, c.Path))
			require.NoError(t, os.Rename(job.Temp, job.Output))
		}},
		"companion named, output lost": {before: func(t *testing.T, job *Job, c Companion) {
			require.NoError(t, os.Rename(c.Temp, c.Path))
			require.NoError(t, os.Remove(job.Temp))
		}},
		"companion named, source changed": {before: func(t *testing.T, job *Job, c Companion) {
			require.NoError(t, os.Rename(c.Temp, c.Path))
			write(t, job.Path, "a longer video")
		}},
		"companion lost": {before: func(t *testing.T, job *Job, c Companion) {
			require.NoError(t, os.Remove(c.Temp))
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withReport)
			r.drop("walk.mkv", "a video")
			job := r.take()
			c := writeBoth(t, job)
			require.NoError(t, job.recordIntent([]Companion{c}))
			test.before(t, job, c)
			r.crash()
			r.start()
			if test.done {
				assert.Equal(t, "masked", read(t, job.Output))
				assert.Equal(t, "report", read(t, c.Path))
			} else {
				assert.Empty(t, tree(t, r.out), "neither without the other")
				again := r.take()
				assert.Equal(t, job.Output, again.Output)
				require.NoError(t, again.Publish(writeBoth(t, again)))
				require.NoError(t, again.Done())
			}
			assert.Equal(t, []string{"walk_anonymized.mkv", "walk_anonymized.mkv.json"}, tree(t, r.out))
			r.idle()
		})
	}
}
