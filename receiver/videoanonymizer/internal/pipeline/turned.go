// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/track"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// findTurned finds people who lie or stand on their heads, in copies of the frame turned by 90, 180 and 270 degrees.
// Models are trained on upright people, and mistake many things lying on their sides for people. So a person counts
// only if the pose shows the head, and only where no head is known that is more than a guess.
func (r *run) findTurned(it *item) (people []vision.Person, faces []vision.Face, err error) {
	known := located(it)
	for quarters := 1; quarters <= 3; quarters++ {
		frame, err := vision.Turned(it.frame, quarters)
		if err != nil {
			return nil, nil, err
		}
		back := vision.TurnBack{Quarters: quarters, Width: it.frame.Width, Height: it.frame.Height}
		detections, foundFaces, err := r.find(it, frame, r.opts.Turned)
		if err != nil {
			return nil, nil, err
		}
		found := persons(detections)
		if err := r.estimatePoses(it, frame, found); err != nil {
			return nil, nil, err
		}
		heads := mask.LocateHeads(found, frame.Width, frame.Height, r.opts.Track.Geometry)
		for i, p := range found {
			x, y := back.Point(heads[i].X, heads[i].Y)
			if heads[i].Origin != mask.OriginPose || !mask.PoseConfirms(p, frame.Width, frame.Height) ||
				mask.Contained(x, y, known) {
				continue
			}
			pose := back.Pose(*p.Pose)
			p.Box, p.Pose = back.Box(p.Box), &pose
			people = append(people, p)
		}
		for _, f := range back.Faces(foundFaces) {
			if x, y := f.Box.Center(); !mask.Contained(x, y, known) {
				faces = append(faces, f)
			}
		}
	}
	return people, faces, nil
}

// settledOverlap is the minimum intersection over union of the boxes of someone found in a turned frame, or in a part
// of one, and of the same person found before.
const settledOverlap = 0.4

// settle drops people whose heads are guesses and whom a turned frame shows well: the guess for someone who lies down
// may cover all of them.
func (r *run) settle(it *item, turned []vision.Person) {
	heads := mask.LocateHeads(it.people, it.frame.Width, it.frame.Height, r.opts.Track.Geometry)
	var left []vision.Person
	for i, p := range it.people {
		settled := heads[i].Origin == mask.OriginBox && slices.ContainsFunc(turned, func(t vision.Person) bool {
			return vision.IoU(t.Box, p.Box) >= settledOverlap
		})
		if !settled {
			left = append(left, p)
		}
	}
	if len(left) < len(it.people) {
		it.people = left
		it.heads = track.Heads(observation(it), r.opts.Track.Geometry)
	}
}

// located returns the heads of the frame that are more than guesses.
func located(it *item) (heads []mask.Head) {
	for _, h := range it.heads {
		if h.Origin == mask.OriginPose || h.Origin == mask.OriginFace {
			heads = append(heads, h)
		}
	}
	return heads
}
