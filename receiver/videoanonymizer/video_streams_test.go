// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// TestVideoStreams checks that a thumbnail is not taken for the video, and that a file with two videos is rejected. Log
// records, span and report list the streams, and a source is deleted only if all of its videos are in the output.
func TestVideoStreams(t *testing.T) {
	cfg := newTestConfig(t)
	cfg.Output.OnSuccess = watch.OnSuccessDelete
	r := start(t, cfg)
	dir := t.TempDir()
	thumbnail := filepath.Join(dir, "thumbnail.mov")
	clip(t, thumbnail, "-i", "testsrc2=size=80x60", "-frames:v", "1", "-c:v", "mjpeg")
	put := func(name string, inputs ...string) {
		path := filepath.Join(dir, name)
		clip(t, path, append(inputs, "-map", "0:v", "-map", "1:v", "-c:v", "mjpeg")...)
		require.NoError(t, os.Rename(path, filepath.Join(r.in, name)))
	}
	put("lenses.mov", "-i", "testsrc2=size=320x240:rate=25:duration=1",
		"-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=1")
	put("thumbnail.mov", "-i", "testsrc2=size=80x60:rate=25:duration=0.04",
		"-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=1")
	clip(t, filepath.Join(dir, "preview.mov"), "-i", "testsrc2=size=320x240:rate=25:duration=1", "-map", "0:v", "-map",
		"0:v", "-s:v:1", "160x120", "-c:v", "mjpeg")
	require.NoError(t, os.Rename(filepath.Join(dir, "preview.mov"), filepath.Join(r.in, "preview.mov")))
	streams := func(attributes pcommon.Map) []any {
		found, _ := attributes.Get("anonymizer.video.streams")
		return found.Slice().AsRaw()
	}

	failed := r.awaitLog(t, "failed", "lenses.mov").Attributes()
	reason, _ := failed.Get("error.type")
	assert.Equal(t, "several_streams", reason.Str())
	assert.Equal(t, []any{"0: mjpeg 320 x 240, video", "1: mjpeg 160 x 120, video"}, streams(failed))
	assert.FileExists(t, filepath.Join(r.in, "lenses.mov"))

	want := []any{"0: mjpeg 80 x 60, still_image", "1: mjpeg 320 x 240, taken"}
	finished := r.awaitLog(t, "finished", "thumbnail.mov").Attributes()
	assert.Equal(t, want, streams(finished))
	frames, _ := finished.Get("anonymizer.video.frames")
	assert.EqualValues(t, 25, frames.Int())
	assert.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(r.in, "thumbnail.mov"))
		return os.IsNotExist(err)
	}, time.Minute, 20*time.Millisecond)
	assert.FileExists(t, filepath.Join(r.in, "lenses.mov"))

	finished = r.awaitLog(t, "finished", "preview.mov").Attributes()
	assert.Equal(t, []any{"0: mjpeg 320 x 240, taken", "1: mjpeg 160 x 120, preview"}, streams(finished))
	require.Never(t, func() bool {
		_, err := os.Stat(filepath.Join(r.in, "preview.mov"))
		return err != nil
	}, 2*time.Second, 50*time.Millisecond, "that it shows the same is not proven")
	require.Eventually(t, func() bool { return len(r.spans("anonymize_video")) == 3 }, time.Minute, 20*time.Millisecond)
	for _, span := range r.spans("anonymize_video") {
		assert.Len(t, streams(span.Attributes()), 2)
	}
	var report struct {
		Streams []media.VideoStream `json:"source_video_streams"`
	}
	text, err := os.ReadFile(filepath.Join(r.out, "thumbnail_anonymized.mov.report.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &report))
	assert.Equal(t, []media.VideoStream{
		{Index: 0, Codec: "mjpeg", Width: 80, Height: 60, Kind: media.StreamStill},
		{Index: 1, Codec: "mjpeg", Width: 320, Height: 240, Kind: media.StreamVideo, Taken: true},
	}, report.Streams)
}
