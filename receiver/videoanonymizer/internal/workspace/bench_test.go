// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// BenchmarkVideos measures listing a thousand finished videos, as a page does when it is opened.
func BenchmarkVideos(b *testing.B) {
	r := newRig(b)
	const videos = 1000
	for i := range videos {
		path := filepath.Join(r.in, fmt.Sprintf("recording of camera %d.mkv", i))
		require.NoError(b, os.WriteFile(path, fmt.Append(nil, i), 0o600))
	}
	for range videos {
		r.publish(r.next())
	}
	all, err := r.Videos(b.Context(), false)
	require.NoError(b, err)
	require.Len(b, all, videos)
	for b.Loop() {
		r.Notify()
		all, err := r.Videos(b.Context(), false)
		require.NoError(b, err)
		_, err = json.Marshal(all)
		require.NoError(b, err)
	}
}

// publish publishes an output of a job that is not a real video, with a report.
func (r *rig) publish(job *watch.Job) {
	r.t.Helper()
	require.NoError(r.t, os.WriteFile(job.Temp, []byte("output of "+job.Path), 0o600))
	recorder, err := report.NewRecorder(job.TempFor(".frames.json"))
	require.NoError(r.t, err)
	defer recorder.Close()
	require.NoError(r.t, recorder.Add(&record.Frame{People: 1, Heads: []mask.Head{{RX: 1, RY: 1}}}))
	output, err := report.Identify(context.Background(), job.Temp)
	require.NoError(r.t, err)
	require.NoError(r.t, recorder.Write(job.TempFor(".report.json"), report.About{Output: output}))
	require.NoError(r.t, job.Publish(watch.Companion{Temp: job.TempFor(".report.json"), Path: report.Path(job.Output)}))
	require.NoError(r.t, job.Done())
}

// BenchmarkLongReport measures the cost of a report of ten hours: reading it the first time, and reading 250 of its
// frames.
func BenchmarkLongReport(b *testing.B) {
	path := filepath.Join(b.TempDir(), "long.report.json")
	recorder, err := report.NewRecorder(path + ".frames")
	require.NoError(b, err)
	defer recorder.Close()
	const frames = 900_000
	heads := []mask.Head{{X: 100, Y: 100, RX: 20, RY: 24, Score: 0.5}, {X: 300, Y: 100, RX: 20, RY: 24, Score: 0.7}}
	for i := range frames {
		rec := &record.Frame{Index: i, PTS: time.Duration(i) * 40 * time.Millisecond, People: 2, Heads: heads}
		require.NoError(b, recorder.Add(rec))
	}
	require.NoError(b, recorder.Write(path, report.About{}))
	b.Run("index", func(b *testing.B) {
		for b.Loop() {
			_, file, err := newReports().indexOf(path)
			require.NoError(b, err)
			require.NoError(b, file.Close())
		}
	})
	b.Run("frames", func(b *testing.B) {
		reports := newReports()
		for b.Loop() {
			index, file, err := reports.indexOf(path)
			require.NoError(b, err)
			n := 0
			require.NoError(b, index.frames(file, frames/2, frames/2+250, func(*frameLine) { n++ }))
			require.Equal(b, 250, n)
			require.NoError(b, file.Close())
		}
	})
}
