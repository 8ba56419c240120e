// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// TestSheetShowsOutput checks that pictures of frames as they pass are used only if key frames of the output show what
// was encoded. Here the pictures show something else, to tell them from the output.
func TestSheetShowsOutput(t *testing.T) {
	for name, test := range map[string]struct {
		ffmpeg string // instead of the real one, whose path is $real
		want   uint32
	}{
		"key frames show the same":     {`exec $real "$@"`, 0},
		"key frames cannot be decoded": {`case "$*" in *nokey*) exit 1;; esac; exec $real "$@"`, 255},
		"key frames show something else": {`case "$*" in *nokey*) set -- "${@/=y/=y,negate}";; esac
			exec $real "$@"`, 255},
		"key frames are at another time": {`case "$*" in *nokey*) set -- "${@/showinfo/setpts=PTS+1,showinfo}";; esac
			exec $real "$@"`, 255},
		"there is none, nor any complaint": {`case "$*" in *nokey*) exit 0;; esac; exec $real "$@"`, 255},
	} {
		t.Run(name, func(t *testing.T) {
			real, err := exec.LookPath("ffmpeg")
			require.NoError(t, err)
			dir := t.TempDir()
			script := filepath.Join(dir, "ffmpeg")
			require.NoError(t, os.WriteFile(script, fmt.Appendf(nil, "#!/bin/bash\nreal=%s\n%s\n", real, test.ffmpeg), 0o700))
			tools, err := media.FindTools(script, "")
			require.NoError(t, err)
			source := filepath.Join(dir, "white.mkv")
			out, err := exec.Command(real, "-v", "error", "-f", "lavfi", "-i", "color=white:s=320x240:d=1", "-c:v", "ffv1",
				source).CombinedOutput()
			require.NoError(t, err, "%s", out)

			r := reviewed(t, tools, source, filepath.Join(dir, ".out.mkv"))
			sheet := filepath.Join(dir, "sheet.jpg")
			require.NoError(t, r.drawSheet(t.Context(), sheet))
			file, err := os.Open(sheet)
			require.NoError(t, err)
			defer file.Close()
			picture, err := jpeg.Decode(file)
			require.NoError(t, err)
			gray, _, _, _ := picture.At(20, 20).RGBA()
			assert.InDelta(t, test.want, gray>>8, 3)
		})
	}
}

// reviewed writes a video, and takes blackened pictures of its frames.
func reviewed(t *testing.T, tools media.Tools, source, temp string) *review {
	t.Helper()
	info, err := tools.Probe(t.Context(), source, media.Limits{})
	require.NoError(t, err)
	reader, err := tools.Open(t.Context(), info, media.ReadOptions{})
	require.NoError(t, err)
	defer reader.Close()
	plan, err := media.NewPlan(info, media.WriteOptions{Container: "mkv"})
	require.NoError(t, err)
	writer, err := tools.Create(t.Context(), temp, plan, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, writer.Abort()) })
	writer.CompareKeyFrames()
	recorder, err := report.NewRecorder(filepath.Join(filepath.Dir(temp), "frames"))
	require.NoError(t, err)
	t.Cleanup(recorder.Close)
	for {
		frame, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.NoError(t, writer.Write(frame))
		require.NoError(t, recorder.Add(&record.Frame{Index: frame.Index,
			PTS:   time.Duration(frame.Index) * 40 * time.Millisecond,
			Heads: []mask.Head{{X: 200, Y: 150, RX: 20, RY: 20, Score: .5, Origin: mask.OriginPose}}}))
		luma := frame.Planes[0].Data
		for i := range luma {
			luma[i] = 16
		}
		recorder.Picture(frame, 1)
		frame.Release()
	}
	require.NoError(t, writer.Finish(t.Context()))
	cfg := &config.Config{Report: config.Report{Tiles: 1}}
	return &review{recorder: recorder, written: writer, attempt: &attempt{video: &video{
		Runner: &Runner{Config: cfg, Tools: tools}, job: &watch.Job{Temp: temp}, file: file{Temp: temp}, logger: zap.NewNop(),
	}}}
}
