// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// twoPeople requires a second person to confirm each change that takes masks away.
const twoPeople = `yaml:{receivers: {videoanonymizer: {review: {two_people: true}}}}`

// TestCorrections corrects masks on the page: one subtest adds a missing mask, the other removes a mask of the
// pipeline.
func TestCorrections(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the built collector on real footage")
	}
	install(t, ".")
	pictures := "CONSOLE_PICTURES=" + os.Getenv("CONSOLE_PICTURES")
	t.Run("open head", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, blind)
		s.start()
		require.NoError(t, footage.Cut(s.clip("talk.mp4"), s.path("talk.mp4"), 2))
		s.drop(s.path("talk.mp4"), "incoming", "talk.mp4")
		s.await("talk.mp4", "to_review")
		s.awaitLook("talk.mp4")
		s.browse("add.test.mjs", pictures)
		s.testDrawnMasksAreRendered(t)
	})
	t.Run("mask on nobody", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, twoPeople)
		s.start()
		require.NoError(t, footage.Cut(s.clip("walk.mp4"), s.path("walk.mp4"), 2))
		s.drop(s.path("walk.mp4"), "incoming", "walk.mp4")
		s.await("walk.mp4", "to_review")
		s.awaitLook("walk.mp4")
		s.browse("remove.test.mjs", pictures, "CONSOLE_SECOND="+s.tokenOf("Second Person", "review"),
			"CONSOLE_EDITOR="+s.tokenOf("Editor", "edit"))
	})
}

// testDrawnMasksAreRendered: at least 90 % of each drawn ellipse is masked in each frame of the output, and less than
// 50 % was masked before.
func (s *site) testDrawnMasksAreRendered(t *testing.T) {
	v := s.video("talk.mp4")
	require.Len(t, v.Revisions, 2)
	var edited struct{ Frames []editedFrame }
	require.NoError(t, json.Unmarshal(s.get(fmt.Sprintf("videos/%s/edits/frames?from=0&to=1000", v.ID)), &edited))
	decoded := make([][]footage.Gray, 2)
	for i, r := range v.Revisions {
		var err error
		decoded[i], err = footage.Decode(s.path("videos", "anonymized", r.Name))
		require.NoError(t, err)
	}
	require.Len(t, decoded[1], len(edited.Frames))
	drawn := 0
	for n, frame := range edited.Frames {
		for _, mask := range frame.Masks {
			drawn++
			assert.Less(t, mask.masked(&decoded[0][n]), 0.5, "frame %d of r1", n)
			assert.GreaterOrEqual(t, mask.masked(&decoded[1][n]), 0.9, "frame %d of r2", n)
		}
	}
	assert.Equal(t, 20, drawn, "ten frames by mouse, ten by keys")
}

// editedFrame has the fields of a frame, as it would be rendered, that the tests read.
type editedFrame struct {
	Masks []editedMask
}

type editedMask struct {
	Outline struct{ X, Y, RX, RY, Angle float64 }
}

// masked returns the share of the ellipse that is black.
func (m *editedMask) masked(picture *footage.Gray) float64 {
	const black = 40
	o := &m.Outline
	inside, masked := 0, 0
	for y := range picture.Height {
		for x := range picture.Width {
			dx, dy := float64(x)+0.5-o.X, float64(y)+0.5-o.Y
			sin, cos := math.Sincos(o.Angle)
			if u, v := (dx*cos+dy*sin)/o.RX, (dy*cos-dx*sin)/o.RY; u*u+v*v > 1 {
				continue
			}
			inside++
			if picture.At(x, y) < black {
				masked++
			}
		}
	}
	return float64(masked) / math.Max(1, float64(inside))
}
