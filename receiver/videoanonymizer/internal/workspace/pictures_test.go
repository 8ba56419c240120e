// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"bytes"
	"image/jpeg"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// TestPictures checks that a picture is listed, shown as its still, and approved without a second look, that it does
// not play, and that its masks cannot be corrected.
func TestPictures(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"face.jpg", "face.png"} {
		t.Run(name, func(t *testing.T) {
			job := r.drop(name)
			out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=1:duration=1",
				"-frames:v", "1", job.Temp).CombinedOutput()
			require.NoError(t, err, string(out))
			recorder, err := report.NewRecorder(job.TempFor(".frames.json"))
			require.NoError(t, err)
			defer recorder.Close()
			require.NoError(t, recorder.Add(&record.Frame{Analyzed: true, People: 1, Masks: 1,
				Heads: []mask.Head{{X: 120, Y: 70, RX: 20, RY: 20, Score: 0.5, Origin: mask.OriginPose}}}))
			output, err := report.Identify(t.Context(), job.Temp)
			require.NoError(t, err)
			output.Name = filepath.Base(job.Output)
			about := report.About{Output: output, Settings: report.Settings{Regions: []report.Region{}},
				Picture: &report.StillPicture{Format: "jpeg", Width: 320, Height: 180}}
			require.NoError(t, recorder.Write(job.TempFor(".report.json"), about))
			require.NoError(t, job.Publish(watch.Companion{Temp: job.TempFor(".report.json"), Path: report.Path(job.Output)}))
			require.NoError(t, job.Done())
			r.Worked(job.Path)

			video := r.video(name)
			assert.Equal(t, consoleapi.StateToReview, video.State)
			assert.Equal(t, 1, video.Frames)
			id := consoleapi.RevisionID{Video: video.ID, Revision: "r1"}
			details, err := r.Revision(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, [2]int{320, 180}, [2]int{details.Width, details.Height})
			assert.Equal(t, consoleapi.PlaybackUnavailable, details.Playback.State)
			assert.Equal(t, consoleapi.LookOff, details.SecondLook.State)
			moments, err := r.Moments(t.Context(), id)
			require.NoError(t, err)
			assert.NotEmpty(t, moments.Moments)

			still, err := r.Still(t.Context(), id, 0, 160)
			require.NoError(t, err)
			img, err := jpeg.Decode(bytes.NewReader(still))
			require.NoError(t, err)
			assert.Equal(t, 160, img.Bounds().Dx())
			_, err = r.Still(t.Context(), id, 1, 160)
			require.ErrorIs(t, err, consoleapi.ErrNotFound)
			playback, err := r.PrepareProxy(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, consoleapi.PlaybackUnavailable, playback.State)
			_, err = r.Edits(t.Context(), video.ID)
			require.ErrorIs(t, err, consoleapi.ErrConflict)

			_, err = r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Approved})
			require.NoError(t, err)
			assert.Equal(t, consoleapi.StateApproved, r.video(name).State)
		})
	}
}
