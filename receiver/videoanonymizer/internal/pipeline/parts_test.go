// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// tall is someone whose head the pose model finds. part is a box within theirs, in which it finds nothing.
var (
	tall = vision.Detection{Score: .9, Box: vision.Box{X0: 100, Y0: 20, X1: 180, Y1: 170}}
	part = vision.Detection{Score: .6, Box: vision.Box{X0: 110, Y0: 90, X1: 158, Y1: 139}}
)

// headsOfTall is a pose model that finds the heads of people who are at least as tall as tall.
type headsOfTall struct{}

func (headsOfTall) Estimate(
	_ context.Context, _ *media.Frame, found []vision.Detection,
) ([]vision.Pose, vision.Steps, error) {
	poses := make([]vision.Pose, len(found))
	for i, d := range found {
		if d.Box.Height() < tall.Box.Height() {
			continue
		}
		x, _ := d.Box.Center()
		for k, dx := range []float32{vision.Nose: 0, vision.LeftEye: 4, vision.RightEye: -4, vision.LeftEar: 8,
			vision.RightEar: -8, vision.LeftShoulder: 25, vision.RightShoulder: -25} {
			poses[i][k] = vision.Keypoint{X: x + dx, Y: d.Box.Y0 + 15, Score: .9}
			if k >= vision.LeftShoulder {
				poses[i][k].Y += 25
			}
		}
	}
	return poses, vision.Steps{}, nil
}

// closer stands for the models that look at a part of the frame.
type closer struct {
	people []vision.Detection
	faces  []vision.Face
	err    error
	looks  int
}

func (c *closer) Detect(context.Context, *media.Frame) ([]vision.Detection, vision.Steps, error) {
	c.looks++
	return c.people, vision.Steps{}, c.err
}

func (c *closer) DetectFaces(context.Context, *media.Frame) ([]vision.Face, vision.Steps, error) {
	return c.faces, vision.Steps{}, nil
}

// TestPartsAreLookedAtCloser checks that someone without a head who lies within someone else is looked at once more,
// and is masked unless that look shows neither them nor a face in their box.
func TestPartsAreLookedAtCloser(t *testing.T) {
	apart, smaller, beside := part, part, part
	apart.Box = part.Box.Moved(120, 0)
	smaller.Box.Y0 += 32
	beside.Box = part.Box.Moved(40, 0)
	face := vision.Face{Score: .9, Box: vision.Box{X0: 125, Y0: 95, X1: 145, Y1: 115}}
	weak := part
	weak.Score, weak.Candidate = .1, true
	elsewhere := face
	elsewhere.Box = face.Box.Moved(100, 0)
	broken := errors.New("session broke")
	for name, tt := range map[string]struct {
		found  []vision.Detection
		closer closer
		looks  int
		masked bool // the guessed head of the second person found
	}{
		"shown":               {[]vision.Detection{tall, part}, closer{people: []vision.Detection{part}}, 1, true},
		"shown weakly":        {[]vision.Detection{tall, part}, closer{people: []vision.Detection{weak}}, 1, true},
		"a face in it":        {[]vision.Detection{tall, part}, closer{faces: []vision.Face{face}}, 1, true},
		"not shown":           {[]vision.Detection{tall, part}, closer{}, 1, false},
		"only others shown":   {[]vision.Detection{tall, part}, closer{people: []vision.Detection{tall, smaller}}, 1, false},
		"a face elsewhere":    {[]vision.Detection{tall, part}, closer{faces: []vision.Face{elsewhere}}, 1, false},
		"apart from others":   {[]vision.Detection{tall, apart}, closer{}, 0, true},
		"partly within":       {[]vision.Detection{tall, beside}, closer{}, 0, true},
		"within someone else": {[]vision.Detection{apart, {Score: .6, Box: apart.Box.Grown(-.3)}}, closer{}, 0, true},
		"cannot be looked at": {[]vision.Detection{tall, part}, closer{err: broken}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			opts := options(t, people(tt.found))
			opts.PoseModel, opts.Overlap = headsOfTall{}, .6
			opts.Full, opts.Region = Look{Detector: people(nil)}, Look{Detector: &tt.closer, Faces: &tt.closer}
			heads, err := Search(t.Context(), newFrame(0, false), opts)
			require.ErrorIs(t, err, tt.closer.err)
			x, _ := tt.found[1].Box.Center()
			assert.Equal(t, tt.masked, mask.Contained(x, tt.found[1].Box.Y0+5, heads), "%v", heads)
			assert.Equal(t, tt.looks, tt.closer.looks, "looks")

			opts.Full, tt.closer.looks = Look{}, 0
			heads, err = Search(t.Context(), newFrame(0, false), opts)
			require.NoError(t, err)
			assert.True(t, mask.Contained(x, tt.found[1].Box.Y0+5, heads), "without surveys, nobody is looked at again")
			assert.Zero(t, tt.closer.looks)
		})
	}
}
