// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// logged collects what a rig's watcher logs.
func logged(logs **observer.ObservedLogs) func(*rig) {
	return func(r *rig) {
		core, observed := observer.New(zap.InfoLevel)
		r.opts.Logger, *logs = zap.New(core), observed
	}
}

const notPickedUp = "a file has not been picked up yet"

// TestWaitingFilesAreReported checks that the log says once, after some minutes, why a file is not picked up.
func TestWaitingFilesAreReported(t *testing.T) {
	tests := map[string]struct {
		put    func(t *testing.T, r *rig) (beforePoll func())
		file   string
		reason string
	}{
		"left-over part": {
			file: "walk.mkv", reason: "walk.mkv.part is next to it",
			put: func(t *testing.T, r *rig) func() {
				r.drop("walk.mkv", "a video")
				r.drop("walk.mkv.part", "x")
				return nil
			},
		},
		"left-over aria2": {
			file: "walk.mkv", reason: "walk.mkv.ARIA2 is next to it",
			put: func(_ *testing.T, r *rig) func() {
				r.drop("walk.mkv", "a video")
				r.drop("walk.mkv.ARIA2", "x")
				return nil
			},
		},
		"incomplete name": {
			file: "walk.mkv.part", reason: string(heldPartial),
			put: func(_ *testing.T, r *rig) func() {
				r.drop("walk.mkv.part", "x")
				return nil
			},
		},
		"grows for ever": {
			file: "walk.mkv", reason: string(heldChanging),
			put: func(_ *testing.T, r *rig) func() {
				text := "a video"
				return func() {
					text += " and more"
					r.drop("walk.mkv", text)
				}
			},
		},
		"open for writing": {
			file: "walk.mkv", reason: string(heldWriter),
			put: func(t *testing.T, r *rig) func() {
				f, err := os.OpenFile(r.drop("walk.mkv", "a video"), os.O_WRONLY|os.O_APPEND, 0)
				require.NoError(t, err)
				t.Cleanup(func() { f.Close() })
				return nil
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var logs *observer.ObservedLogs
			r := newRig(t, logged(&logs))
			poll := test.put(t, r)
			about := func() int {
				return logs.FilterMessage(notPickedUp).FilterField(zap.String("file", filepath.Join(r.in, test.file))).Len()
			}
			for elapsed := time.Duration(0); elapsed < 2*reportAfter; elapsed += time.Second {
				if poll != nil {
					poll()
				}
				r.pass(time.Second)
				require.Nil(t, r.try(), "it is not complete")
				if elapsed < reportAfter-time.Second {
					require.Zero(t, about(), "too early, after %s", elapsed)
				}
			}
			require.Equal(t, 1, about())
			for _, entry := range logs.FilterMessage(notPickedUp).All() {
				fields := entry.ContextMap()
				if fields["file"] == filepath.Join(r.in, test.file) {
					assert.Contains(t, fields["reason"], test.reason)
				}
			}
		})
	}
}

// TestWaitingReasonChanges checks that a new reason is reported, and nothing more once the file is picked up.
func TestWaitingReasonChanges(t *testing.T) {
	var logs *observer.ObservedLogs
	r := newRig(t, logged(&logs))
	path := r.drop("walk.mkv", "a video")
	part := r.drop("walk.mkv.part", "x")
	r.w.poll()
	r.pass(reportAfter)
	require.Equal(t, 2, logs.FilterMessage(notPickedUp).Len(), "the video and the part")
	require.NoError(t, os.Remove(part))
	writer, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer writer.Close()
	for range 5 {
		r.settle()
		require.Nil(t, r.try())
	}
	reasons := map[any]int{}
	for _, entry := range logs.FilterMessage(notPickedUp).FilterField(zap.String("file", path)).All() {
		reasons[entry.ContextMap()["reason"]]++
	}
	assert.Equal(t, 1, reasons[string(heldWriter)])
	for reason, n := range reasons {
		assert.Equal(t, 1, n, reason)
	}
	require.NoError(t, writer.Close())
	before := logs.Len()
	job := r.take()
	r.pass(time.Hour)
	r.complete(job)
	r.pass(time.Hour)
	assert.Equal(t, before, logs.Len(), "nothing more to say")
}

// TestWaitingForWorkerIsNotReported keeps a ready file in the queue for a long time.
func TestWaitingForWorkerIsNotReported(t *testing.T) {
	var logs *observer.ObservedLogs
	r := newRig(t, logged(&logs))
	r.drop("walk.mkv", "a video")
	r.settle()
	r.pass(time.Hour)
	assert.Zero(t, logs.FilterMessage(notPickedUp).Len())
	require.NotNil(t, r.try())
}

// TestEmptyFileWaitsLonger checks that a file that reserves a name has more time to get its content.
func TestEmptyFileWaitsLonger(t *testing.T) {
	r := newRig(t)
	r.drop("walk.mkv", "")
	r.idle()
	r.pass(longCalm(r.opts.Config.StableFor) - r.opts.Config.StableFor)
	require.NotNil(t, r.try(), "then it fails, as what is no video does")
}

func TestLongCalm(t *testing.T) {
	for stableFor, want := range map[time.Duration]time.Duration{
		0: 0, 3 * time.Second: 30 * time.Second, time.Minute: 10 * time.Minute, time.Hour: time.Hour + 10*time.Minute,
	} {
		assert.Equal(t, want, longCalm(stableFor))
	}
}

// TestFilesThatAreNoVideosByExtension checks that files that cameras put next to videos are ignored, that this is
// logged once per folder, and that they are tried if the pattern names their extension.
func TestFilesThatAreNoVideosByExtension(t *testing.T) {
	files := []string{
		"a/C0001.THM", "a/C0002.thm", "a/C0001M01.XML", "a/C0001.SRT", "a/note.WAV", "a/INDEX.IDX", "b/C0003.THM",
		"b/walk.mkv", "b/odd.xyz", "b/noextension", "b/GX01.LRV", "b/clip.DAT",
		"System Volume Information/IndexerVolumeGuid", "$RECYCLE.BIN/$R1.mkv", ".Trashes/walk.mkv",
	}
	tests := map[string]struct {
		include []string
		want    []string
		logs    int
	}{
		"by folder": {
			include: []string{"**"}, logs: 6,
			want: []string{"b/GX01.LRV", "b/clip.DAT", "b/noextension", "b/odd.xyz", "b/walk.mkv"},
		},
		"by extension": {include: []string{"**/*.thm", "**/*.WAV"}, want: []string{"a/C0002.thm", "a/note.WAV"}},
		"by name":      {include: []string{"a/C0001.SRT"}, want: []string{"C0001.SRT"}},
		"by extension and folder": {
			include: []string{"a/*", "a/*.{WAV,mkv}"}, logs: 4, want: []string{"note.WAV"},
		},
		"by extension in one of two roots": {include: []string{"**", "a/*.WAV"}, logs: 5, want: []string{
			"note.WAV", "b/GX01.LRV", "b/clip.DAT", "b/noextension", "b/odd.xyz", "b/walk.mkv",
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var logs *observer.ObservedLogs
			r := newRig(t, logged(&logs), func(r *rig) {
				r.opts.Config.Include = nil
				for _, pattern := range test.include {
					r.opts.Config.Include = append(r.opts.Config.Include, r.in+"/"+pattern)
				}
			})
			for _, name := range files {
				r.drop(name, name)
			}
			r.settle()
			var got []string
			for job := r.try(); job != nil; job = r.try() {
				got = append(got, string(job.entry.Rel))
				require.NoError(t, job.Fail("not_video", nil))
			}
			assert.ElementsMatch(t, test.want, got)
			r.pass(time.Hour)
			about := logs.FilterMessageSnippet("ignoring files whose extension is not")
			assert.Equal(t, test.logs, about.Len())
			for _, entry := range about.All() {
				assert.Equal(t, zap.InfoLevel, entry.Level)
			}
		})
	}
}
