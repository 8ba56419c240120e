// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// noise returns text of a given size, in bytes, that differs everywhere.
func noise(seed byte, size int) string {
	text := make([]byte, size)
	state := uint32(seed) + 1
	for i := range text {
		state = state*1664525 + 1013904223
		text[i] = byte(state >> 24)
	}
	return string(text)
}

// TestSupersededOutput changes a source after its output was published, and checks that the output is marked if, and
// only if, the newer one is of a longer version of the same video.
func TestSupersededOutput(t *testing.T) {
	half := noise(1, 1<<20)
	more := half + noise(2, 100_000)
	tests := map[string]struct {
		first  string
		change func(t *testing.T, r *rig, path string, first *Job)
		marked bool
	}{
		"appended": {marked: true, first: half, change: func(t *testing.T, _ *rig, path string, _ *Job) {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteString(noise(2, 100_000))
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}},
		"appended, short": {marked: true, first: "half a video", change: func(t *testing.T, _ *rig, path string, _ *Job) {
			write(t, path, "half a video, and the rest")
		}},
		"longer version renamed into place": {
			marked: true, first: half, change: func(t *testing.T, _ *rig, path string, _ *Job) {
				write(t, path+".part", more)
				require.NoError(t, os.Rename(path+".part", path))
			},
		},
		"header rewritten": {marked: true, first: half, change: func(t *testing.T, _ *rig, path string, _ *Job) {
			write(t, path, "duration: 10 s"+more[len("duration: 10 s"):])
		}},
		"after a restart": {marked: true, first: half, change: func(t *testing.T, r *rig, path string, _ *Job) {
			r.restart()
			write(t, path, more)
			r.restart()
		}},
		"after an attempt that failed": {
			marked: true, first: half, change: func(t *testing.T, r *rig, path string, _ *Job) {
				write(t, path, more[:len(more)-10])
				require.NoError(t, r.take().Fail("damaged", nil))
				r.restart()
				write(t, path, more)
			},
		},
		"after a crash": {marked: true, first: half, change: func(t *testing.T, r *rig, path string, _ *Job) {
			write(t, path, more)
			r.take()
			r.crash()
			r.start()
		}},
		"grown while it was processed": {
			marked: true, first: half, change: func(t *testing.T, r *rig, path string, _ *Job) {
				write(t, path, more[:len(more)-10])
				job := r.take()
				write(t, path, more)
				require.ErrorIs(t, job.Unchanged(), ErrChanged)
				job.Abandon()
			},
		},
		"another video": {first: half, change: func(t *testing.T, _ *rig, path string, _ *Job) {
			write(t, path+".part", noise(3, 2<<20))
			require.NoError(t, os.Rename(path+".part", path))
		}},
		"another video, written in place": {first: half, change: func(t *testing.T, _ *rig, path string, _ *Job) {
			write(t, path, noise(3, 2<<20))
		}},
		"short, other beginning": {first: "half a video", change: func(t *testing.T, _ *rig, path string, _ *Job) {
			write(t, path, "HALF a video, and the rest")
		}},
		"cut": {first: half, change: func(t *testing.T, _ *rig, path string, _ *Job) { write(t, path, half[:1<<19]) }},
		"touched, output gone": {first: half, change: func(t *testing.T, _ *rig, path string, first *Job) {
			at := time.Now().Add(time.Hour)
			require.NoError(t, os.Chtimes(path, at, at))
			require.NoError(t, os.Remove(first.Output))
		}},
		"output replaced by a person": {first: half, change: func(t *testing.T, _ *rig, path string, first *Job) {
			write(t, first.Output, "edited")
			write(t, path, more)
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var logs *observer.ObservedLogs
			r := newRig(t, withReport, logged(&logs))
			path := r.drop("a/walk.mkv", test.first)
			first := r.take()
			require.NoError(t, first.Publish(writeBoth(t, first)))
			require.NoError(t, first.Done())
			test.change(t, r, path, first)
			second := r.take()
			require.Equal(t, path, second.Path)
			require.NoError(t, second.Publish(writeBoth(t, second)))
			require.NoError(t, second.Done())

			mark := first.Output + ".superseded.json"
			warnings := logs.FilterMessageSnippet("an output is superseded")
			if !test.marked {
				assert.NoFileExists(t, mark)
				assert.Zero(t, warnings.Len())
				r.idle()
				r.restart()
				assert.NoFileExists(t, mark)
				return
			}
			require.NotEqual(t, first.Output, second.Output)
			var content map[string]any
			require.NoError(t, json.Unmarshal([]byte(read(t, mark)), &content))
			assert.Equal(t, first.Output, content["output"])
			assert.Equal(t, second.Output, content["superseded_by"])
			assert.Equal(t, path, content["source"])
			assert.Contains(t, content["reason"], "the source grew from")
			assert.NotEmpty(t, content["time"])
			assert.Equal(t, "report", read(t, first.Output+".json"), "the report stays as it is")
			assert.Equal(t, "masked", read(t, first.Output))
			require.Equal(t, 1, warnings.Len())
			assert.Equal(t, first.Output, warnings.All()[0].ContextMap()["output"])
			r.idle()
			r.restart()
			r.idle()
			assert.Len(t, tree(t, r.out), 5)
			assert.Equal(t, 1, warnings.Len())
		})
	}
}

// TestSupersededInSteps lets a file grow twice, and checks that each output is marked with the next.
func TestSupersededInSteps(t *testing.T) {
	r := newRig(t)
	var outputs []string
	for _, text := range []string{"one", "one two", "one two three"} {
		r.drop("walk.mkv", text)
		job := r.take()
		r.complete(job)
		outputs = append(outputs, job.Output)
	}
	assert.Contains(t, read(t, supersededPath(outputs[0])), outputs[1])
	assert.Contains(t, read(t, supersededPath(outputs[1])), outputs[2])
	assert.Len(t, tree(t, r.out), 5)
}

// TestSupersededMarkNeverReplaces takes the name of a mark.
func TestSupersededMarkNeverReplaces(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "half")
	first := r.finish(path)
	mark := supersededPath(first.Output)
	write(t, mark, "somebody else's")
	r.drop("walk.mkv", "half, and half")
	r.finish(path)
	assert.Equal(t, "somebody else's", read(t, mark))
	assert.Contains(t, read(t, numbered(mark, 2)), first.Output)
}

// TestSupersededAfterCrash simulates that the collector dies before and after the mark is written.
func TestSupersededAfterCrash(t *testing.T) {
	for _, written := range []bool{false, true} {
		r := newRig(t)
		path := r.drop("walk.mkv", "half")
		first := r.finish(path)
		r.drop("walk.mkv", "half, and half")
		second := r.take()
		write(t, second.Temp, "masked")
		require.NoError(t, second.Publish())
		entry := second.entry
		entry.State, entry.Temp = stateDone, ""
		require.NoError(t, r.w.journal.put(entry))
		if written {
			_, err := markOutput(r.w.journal, entry.Previous[0], entry, 0o600)
			require.NoError(t, err)
		}
		r.crash()
		r.start()
		assert.Contains(t, read(t, supersededPath(first.Output)), second.Output)
		assert.Len(t, tree(t, r.out), 3)
		r.restart()
		assert.Len(t, tree(t, r.out), 3)
	}
}

// TestSupersededMarkIsNoSource publishes into the watched folder, whose patterns include marks.
func TestSupersededMarkIsNoSource(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.out = r.in
		r.opts.OutputDirectory = r.in
		r.opts.Config.Include = []string{r.in + "/*.mkv", r.in + "/*.json"}
	})
	path := r.drop("walk.mkv", "half")
	first := r.finish(path)
	r.drop("walk.mkv", "half, and half")
	r.finish(path)
	assert.FileExists(t, supersededPath(first.Output))
	r.idle()
	r.restart()
	r.idle()
}

// TestSupersededMarkOutlivesItsOutput checks that no other output gets the name to which a mark refers.
func TestSupersededMarkOutlivesItsOutput(t *testing.T) {
	r := newRig(t)
	write(t, supersededPath(filepath.Join(r.out, "walk_anonymized.mkv")), "{}")
	r.drop("walk.mkv", "a video")
	assert.Equal(t, filepath.Join(r.out, "walk_anonymized-2.mkv"), r.take().Output)
}

// TestSupersededDiskFull checks that an output is marked at the next start if that fails at first.
func TestSupersededDiskFull(t *testing.T) {
	var logs *observer.ObservedLogs
	r := newRig(t, logged(&logs))
	path := r.drop("walk.mkv", "half")
	first := r.finish(path)
	r.drop("walk.mkv", "half, and half")
	second := r.take()
	write(t, second.Temp, "masked")
	require.NoError(t, second.Publish())
	temp := asidePath(supersededPath(first.Output), second.entry.Stamp) + supersededSuffix
	require.NoError(t, os.Mkdir(temp, 0o755)) // where the mark is written first
	write(t, temp+"/x", "")
	require.NoError(t, second.Done(), "the video is done")
	assert.Equal(t, 1, logs.FilterMessageSnippet("an output is superseded").FilterField(zap.String("mark", "")).Len())
	assert.NoFileExists(t, supersededPath(first.Output))
	require.NoError(t, os.RemoveAll(temp))
	r.restart()
	assert.FileExists(t, supersededPath(first.Output))
}

func TestSupersededPathOfLongName(t *testing.T) {
	name := strings.Repeat("ö", 125) + ".mkv"
	mark := supersededPath("/out/" + name)
	assert.LessOrEqual(t, len(filepath.Base(numbered(mark, maxNumber))), maxName)
	assert.True(t, strings.HasSuffix(mark, "ö.mkv"+supersededSuffix))
	assert.Equal(t, "/out/walk.mkv.superseded.json", supersededPath("/out/walk.mkv"))
}
