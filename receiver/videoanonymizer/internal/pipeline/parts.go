// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/track"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// settleParts searches once more, at about their own size, for people who may be part of someone else. Those that this
// does not show become candidates.
func (r *run) settleParts(it *item) error {
	demoted := false
	for _, i := range track.Parts(observation(it), r.opts.Track.Geometry) {
		box := it.people[i].Box
		if slices.Contains(it.settled, box) {
			continue
		}
		it.settled = append(it.settled, box)
		shown, err := r.shown(it, box)
		if err != nil {
			return err
		}
		if !shown {
			it.people[i].Candidate, demoted = true, true
		}
	}
	if demoted {
		it.heads = track.Heads(observation(it), r.opts.Track.Geometry)
	}
	return nil
}

// shown reports whether a look at the part of the frame around a box shows its person, or a face in it.
func (r *run) shown(it *item, box vision.Box) (bool, error) {
	people, faces, err := r.findInRegion(it, box.Grown(regionMargin).Clipped(it.frame.Width, it.frame.Height))
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(people, func(d vision.Detection) bool {
		return vision.IoU(d.Box, box) >= settledOverlap
	}) || slices.ContainsFunc(faces, func(f vision.Face) bool {
		return box.Contains(f.Box.Center())
	}), nil
}
