// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/edits"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// anonymized creates a video of 10 frames and an output of it with a head of track 1. It returns their paths and a
// corrections document without operations.
func anonymized(t *testing.T) (source, output string, document *edits.Document) {
	t.Helper()
	folder := t.TempDir()
	source, output = filepath.Join(folder, "walk.mp4"), filepath.Join(folder, "walk_anonymized.mp4")
	out, err := exec.CommandContext(t.Context(), "ffmpeg", append(strings.Fields("-v error -f lavfi -i "+
		"testsrc2=s=320x180:r=25:d=0.4 -c:v libx264 -preset ultrafast -pix_fmt yuv420p"), source)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	tools, err := media.FindTools("", "")
	require.NoError(t, err)
	info, err := tools.Probe(t.Context(), source, media.DefaultLimits())
	require.NoError(t, err)
	plan, err := media.NewPlan(info, media.WriteOptions{Container: "mp4"})
	require.NoError(t, err)
	reader, err := tools.Open(t.Context(), plan.Info(), media.ReadOptions{})
	require.NoError(t, err)
	defer reader.Close()
	writer, err := tools.Create(t.Context(), output, plan, nil)
	require.NoError(t, err)
	recorder, err := report.NewRecorder(output + ".frames")
	require.NoError(t, err)
	defer recorder.Close()
	heads := []mask.Head{{X: 60, Y: 60, RX: 20, RY: 20, Origin: mask.OriginPose, Track: 1}}
	for {
		frame, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.NoError(t, mask.NewPainter(mask.Options{}).Paint(frame, mask.Masks{Heads: heads}))
		require.NoError(t, writer.Write(frame))
		require.NoError(t, recorder.Add(&record.Frame{Index: frame.Index, PTS: frame.Time, Heads: heads}))
		frame.Release()
	}
	require.NoError(t, writer.Finish(t.Context()))
	about := report.About{Segments: writer.Segments(), Settings: report.Settings{Scale: 1},
		Encoding: &report.Encoding{Container: "mp4"}}
	about.Source, err = report.Identify(t.Context(), source)
	require.NoError(t, err)
	about.Output, err = report.Identify(t.Context(), output)
	require.NoError(t, err)
	require.NoError(t, recorder.Write(report.Path(output), about))
	hash, err := report.Identify(t.Context(), report.Path(output))
	require.NoError(t, err)
	return source, output, &edits.Document{Schema: edits.Schema,
		Source:  edits.Source{SHA256: about.Source.SHA256, Size: about.Source.Size, Frames: 10},
		BasedOn: edits.Base{Revision: "r1", OutputSHA256: about.Output.SHA256, ReportSHA256: hash.SHA256}}
}

func TestApplyEdits(t *testing.T) {
	remove := edits.Operation{Type: edits.Remove, Track: 1, To: 5, Reason: "picture"}
	move := edits.Operation{Type: edits.Adjust, Track: 1, To: 5, DX: 20}
	for name, test := range map[string]struct {
		operation  edits.Operation
		withSource bool
		status     int
		want       string
	}{
		"a removal": {remove, true,
			0, "walk_anonymized.r2.mp4: 10 of 10 frames encoded again from the source"},
		"a removal without source": {remove, false, exitError, "this needs the source"},
		"whole frames, no source":  {edits.Operation{Type: edits.WholeFrame, To: 5}, false, 0, "from the output"},
		"a move without a reason":  {move, true, exitError, "without a reason"},
		"a track that is not there": {edits.Operation{Type: edits.Remove, Track: 2, To: 5, Reason: "picture"},
			true, exitError, "track: 2"},
	} {
		t.Run(name, func(t *testing.T) {
			source, output, document := anonymized(t)
			text, err := document.With(test.operation).Encode()
			require.NoError(t, err)
			path := edits.Path(output)
			require.NoError(t, os.WriteFile(path, text, 0o600))
			args := []string{"anonymizerctl", "edits", "apply", output, path}
			if test.withSource {
				args = append(args, "--source", source)
			}
			var stdout, stderr bytes.Buffer
			status := run(t.Context(), args, &stdout, &stderr)
			assert.Equal(t, test.status, status)
			assert.Contains(t, stdout.String()+stderr.String(), test.want)
			second := filepath.Join(filepath.Dir(output), "walk_anonymized.r2.mp4")
			if test.status == 0 {
				assert.FileExists(t, second)
				assert.FileExists(t, report.Path(second))
				assert.FileExists(t, edits.Path(second))
			} else {
				assert.NoFileExists(t, second)
			}
		})
	}
}
